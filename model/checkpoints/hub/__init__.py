"""Where models of other projects are fetched from.

sources       `fetch`: a path, or a name with a scheme, becomes files on this machine
huggingface   hf:OWNER/NAME, from the Hugging Face Hub
firefox       firefox:en-fr, from Mozilla's registry
argos         argos:en-fr, from the index of Argos Translate
archive       zip archives of models
download      one file over HTTPS: bounded, checked, resumed
fetched       what all of them return
"""
