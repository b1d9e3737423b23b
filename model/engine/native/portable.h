// For a library that goes to other machines: the C and C++ libraries of whoever compiles may be newer
// than theirs (glibc 2.28, libstdc++ of GCC 8), so nothing younger may be asked of them.
#pragma once

#include <cmath>
#include <new>

#if !defined(__GLIBC__) || !defined(__GLIBCXX__)
#error "a portable library is compiled with glibc and libstdc++"
#endif

// glibc 2.29 has a pow that does not set errno, the older one computes the same; 2.34 has the functions
// of threads in another of its libraries.
#if defined(__x86_64__)
__asm__(".symver pow, pow@GLIBC_2.2.5");
__asm__(".symver pthread_setname_np, pthread_setname_np@GLIBC_2.12");
#elif defined(__aarch64__)
__asm__(".symver pow, pow@GLIBC_2.17");
__asm__(".symver pthread_setname_np, pthread_setname_np@GLIBC_2.17");
#endif

// Whether there is one thread only, which glibc says since 2.32: "no" is always right. std::shared_ptr
// asks for it.
extern "C" {
extern char __libc_single_threaded;
char __libc_single_threaded = 0;
}

// In libstdc++ since GCC 11; std::vector calls it.
namespace std {
[[noreturn]] void __throw_bad_array_new_length() {
  throw bad_array_new_length();
}
}  // namespace std
