/* Whether memory is AddressSanitizer's: then what it takes and gives back is not the program's. */
#ifndef JITSU_TESTS_SANITIZED_H
#define JITSU_TESTS_SANITIZED_H

#if defined(__has_feature)
#define SANITIZED __has_feature(address_sanitizer)
#elif defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

#endif
