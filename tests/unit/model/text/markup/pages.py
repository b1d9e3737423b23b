# ruff: noqa: E501  (lines of pages are long)
"""A hundred pages in the shapes that pages on the web have: frames, with sections in them."""

from __future__ import annotations

__all__ = ["PAGES"]

_FRAMES = {
    "news site": """<!DOCTYPE html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <title>Bridge closed | Morning News</title>
  <meta name="description" content="The old bridge is closed.">
  <link rel="stylesheet" href="/a.css"><script>window.dataLayer=window.dataLayer||[];</script>
  <script type="application/ld+json">{"@type":"NewsArticle","headline":"Bridge <b>closed</b>"}</script>
</head>
<body class="post">
<header><nav><ul><li><a href="/">Home</a></li><li><a href="/s">Sport</a></li></ul></nav></header>
<main>{}</main>
<footer><small>&copy; 2026 Morning News. All rights reserved.</small></footer>
</body>
</html>
""",
    "shop": """<html><head><title>Red shoes &ndash; buy online</title></head><body>
<div id="root"><div class="grid"><aside><h4>Filter</h4><label><input type="checkbox" checked> In stock
</label></aside><section>{}</section></div></div><script src="app.js" defer></script></body></html>""",
    "wiki": """<div class="mw-parser-output"><h1 id="firstHeading"><i>Quercus</i> robur</h1>
<div id="toc"><ul><li class="toclevel-1"><a href="#A"><span class="tocnumber">1</span> <span
class="toctext">History</span></a></li></ul></div>
{}
<div class="catlinks"><a href="/c">Category</a>: <ul><li><a href="/t">Trees</a></li></ul></div></div>""",
    "forum": """<div class="thread"><div class="post" id="p1"><span class="user">@anna</span> wrote
<time datetime="2026-01-02T10:00">yesterday</time>:<blockquote>Does it work?</blockquote>{}</div>
<div class="post" id="p2"><p>Yes, thanks! <img class="emoji" alt=":)" src="s.png"></p></div></div>""",
    "newsletter": """<!--[if mso]><table role="presentation"><tr><td><![endif]-->
<table width="100%" cellpadding=0 cellspacing=0 border=0><tr><td align=center style="padding:0 8px">
<table width="600"><tr><td><font face="Arial" color=#333>{}</font></td></tr>
<tr><td style="font-size:11px">You get this mail because you asked for it.
<a href="%%unsubscribe%%">Unsubscribe</a></td></tr></table></td></tr></table>
<!--[if mso]></td></tr></table><![endif]-->""",
    "blocks of a content system": """<!-- wp:group {"layout":{"type":"constrained"}} -->
<div class="wp-block-group"><!-- wp:heading {"level":2} -->
<h2 class="wp-block-heading">Opening hours</h2>
<!-- /wp:heading -->

{}
</div>
<!-- /wp:group -->""",
    "template of a server": """<?php get_header(); ?>
<div class="entry <?= $a > 1 ? 'many' : 'one' ?>">
<?php if (have_posts()) { ?>{}<?php } ?>
{% block footer %}<p>{{ site.name }} was made with care.</p>{% endblock %}
</div>
<?php get_footer(); ?>""",
    "documentation": """<body><a class="skip" href="#main">Skip to content</a><article id="main"
role="main"><h1>Getting started<a class="headerlink" href="#gs">&#182;</a></h1>{}
<pre><code class="language-sh">$ make <b>all</b>
</code></pre></article></body>""",
    "part of a page": "{}",
    "old page": """<HTML><HEAD><TITLE>My Page</TITLE></HEAD><BODY BGCOLOR=WHITE><CENTER><H1>Welcome!
</H1></CENTER><HR>{}<P>Last change: <I>May 1999</I><P>Mail to <A HREF=mailto:a@b.example>me</A>
</BODY></HTML>""",
}

_SECTIONS = [
    "<p>The <b>old bridge</b> over the <a href='/r'>river</a> was closed on Monday.</p>",
    '<h2><a href="#"><span class="anchor"></span>What <em>changes</em> now?</a></h2>',
    "<ul>\n  <li>First, <strong>open</strong> the box.</li>\n  <li>Then close it.</li>\n</ul>",
    "<ol><li><p>One</p></li><li><p>Two <i>and</i> three</p><ul><li>Four</li></ul></li></ol>",
    "<table><caption>Prices</caption><thead><tr><th scope=col>Item<th>Price</thead><tbody><tr><td>Bread"
    "<td>3&nbsp;&euro;<tr><td><a href=m>Milk</a><td>1&nbsp;&euro;</table>",
    '<form action="/s"><label for=q>Search for</label> <input id=q placeholder="Type here"'
    " required> <button type=submit>Go</button></form>",
    "<select name=c><option value=1 selected>Germany</option><option>France<option>Spain</select>",
    "<figure><img src=a.jpg alt='An old oak' loading=lazy><figcaption>An old oak in <i>May</i>"
    "</figcaption></figure>",
    '<div itemscope itemtype="https://schema.org/Product"><span itemprop="name">Red shoes</span>'
    '<meta itemprop="price" content="10"><span itemprop=description>Light and <b>strong</b></span></div>',
    "<svg viewBox='0 0 9 9'><title>No words</title><path d='M0 0h9'/><text>No</text></svg> Next to it",
    "<p>Press <kbd>Ctrl</kbd>+<kbd>C</kbd> to copy, then run <code>ls -l | wc</code>.</p>",
    "<pre>\n  kept   <b>as</b> it is\n</pre>",
    "<p>It is E&nbsp;=&nbsp;mc<sup>2</sup> and H<sub>2</sub>O.<sup id=r1><a href=#n1>[1]</a></sup></p>",
    '<p>We at <span translate="no">Big <b>Apple</b></span> make it.</p>',
    '<p class="notranslate">Not this one.</p><p>But this one.</p>',
    "<details open><summary>More <span aria-hidden=true>&darr;</span></summary>Hidden text</details>",
    "<dl><dt>Oak</dt><dd>A big tree<dd>Its wood<dt>Elm<dd>Another</dl>",
    '<blockquote cite="x"><p>We <q>never</q> said so.</p><footer>— <cite>The mayor</cite></footer>'
    "</blockquote>",
    "<p>Line one<br>line two<br/>\nline <b>three<br>and</b> four</p>",
    '<nav aria-label="Breadcrumb"><ol><li><a href=/>Home</a> &rsaquo; <li aria-current=page>Shoes</ol></nav>',
    "<p>A<!-- comment --> word, <!-- two --> and a<!---->nother.</p>",
    '<a class="button" href="/buy"><i class="icon"></i> Buy now</a> <a href="#top">Back</a>',
    "<script>if (1 < 2) document.write('<p>no</p>');</script><noscript><p>Please turn on <b>scripts</b>."
    "</p></noscript>",
    "<style>p > a::after { content: '</p>' }</style><p>After the style.</p>",
    "<iframe src=v title=Film></iframe><video controls><source src=v.mp4>Your browser is old.</video>",
    '<p dir="rtl" lang="ar">\u0645\u0631\u062d\u0628\u0627</p><p>and <bdi>left</bdi> again</p>',
    "<p>Fish &amp; chips cost &lt; 10 &pound; &mdash; or 5 < 6 & 7 > 6.</p>",
    '<p><span style="color:red">Every </span><span>word </span><span>has </span><span>a </span>span.</p>',
    "<div>Text beside <div>a block</div> and after it</div>",
    "<p>One <b>two <i>three <u>four <s>five</s></u></i></b> six</p>",
    "<h3>Comments (3)</h3><article><header><b>Ben</b>, 2&nbsp;days ago</header><p>Nice!</p></article>",
    '<p><a href="/u/anna" class="mention">@<span>anna</span></a> see <a href="/t/x">#<span>oak</span></a>'
    " today</p>",
    "<p>Mixed <B>case</b> <EM>tags</em> and<BR>breaks</P>",
    "<x-card title='No'><slot name=a>Default text</slot><p slot=b>In a component</p></x-card>",
    "<p>unclosed <b>bold<p>next <i>one",
    "<table><tr><td><p>Deep <table><tr><td>er <b>table</b></table></table>",
    "<p>Wrongly <b>nested <i>tags</b> here</i> and more.</p>",
    "<p>An <abbr title='World Health Organization'>WHO</abbr> report, <dfn>defined</dfn> once.</p>",
    "<p>Was <del>blue</del> <ins datetime=2026>red</ins>, is <mark>new</mark>.</p>",
    "<ruby>\u6f22<rp>(</rp><rt>kan</rt><rp>)</rp></ruby> is a sign.",
    "<math><mi>x</mi><mo>=</mo><mn>1</mn></math> solves it.",
    "<p>\n    Indented    text\n    over <b>lines\n    of</b> source.\n  </p>",
    "<p>Hello {{ user.name }}, you have <b>{{ n }}</b> new messages.</p>",
    '<div data-html="<b>kept</b>" onclick="go(\'a > b\')">Click me</div>',
    "<label>Name <input name=n value='Max'></label><fieldset><legend>Address</legend>Street</fieldset>",
    "<p>Soft&shy;hyphen, zero&#8203;width, wb<wbr>r and &hellip;</p>",
    "<p>\U0001f600 Smile <img class=emoji alt='\U0001f600' src=e.png> again \U0001f44d\U0001f3fd</p>",
    "<![CDATA[ a <raw> part ]]><p>After it.</p>",
    '<amp-img alt="x" layout=fill></amp-img><p>On a phone.</p>',
    "<main><section><h2>Team</h2><div class=row><div class=col><b>Eva</b><br>Head of sales</div>"
    "<div class=col><b>Tim</b><br>Driver</div></div></section></main>",
]


def _page(number: int) -> str:
    frames = list(_FRAMES.values())
    count = len(_SECTIONS)
    chosen = {number % count, (7 * number + 3) % count, (number // 10 * 13 + 29) % count}
    sections = "\n".join(_SECTIONS[index] for index in sorted(chosen))
    return frames[(number + number // 50) % len(frames)].replace("{}", sections, 1)


PAGES = [_page(number) for number in range(100)]
