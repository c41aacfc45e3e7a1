/* chars.c - the table of byte classes, computed by the compiler from the grammar. */
#include "http/chars.h"

#define DIGIT(c)      ((c) >= '0' && (c) <= '9')
#define ALPHA(c)      (((c) >= 'a' && (c) <= 'z') || ((c) >= 'A' && (c) <= 'Z'))
#define HEX(c)        (DIGIT(c) || ((c) >= 'a' && (c) <= 'f') || ((c) >= 'A' && (c) <= 'F'))
#define VCHAR(c)      ((c) > 0x20 && (c) < 0x7f)
#define UNRESERVED(c) (ALPHA(c) || DIGIT(c) || (c) == '-' || (c) == '.' || (c) == '_' || (c) == '~')
#define SUB_DELIM(c)                                                                               \
    ((c) == '!' || (c) == '$' || (c) == '&' || (c) == '\'' || (c) == '(' || (c) == ')' ||          \
     (c) == '*' || (c) == '+' || (c) == ',' || (c) == ';' || (c) == '=')
#define TOKEN(c)                                                                                   \
    (UNRESERVED(c) || (c) == '!' || (c) == '#' || (c) == '$' || (c) == '%' || (c) == '&' ||        \
     (c) == '\'' || (c) == '*' || (c) == '+' || (c) == '^' || (c) == '`' || (c) == '|')

#define CLASSES(c)                                                                                 \
    ((TOKEN(c) ? CHAR_TOKEN : 0) |                                                                 \
     (VCHAR(c) || (c) == ' ' || (c) == '\t' || (c) >= 0x80 ? CHAR_VALUE : 0) |                     \
     (VCHAR(c) || (c) == ' ' || (c) >= 0x80 ? CHAR_LINE : 0) |                                     \
     ((VCHAR(c) && (c) != '#') || (c) >= 0x80 ? CHAR_TARGET : 0) |                                 \
     (UNRESERVED(c) || SUB_DELIM(c) ? CHAR_REGNAME : 0) | (HEX(c) ? CHAR_HEX : 0) |                \
     (DIGIT(c) ? CHAR_DIGIT : 0))

#define ROW4(c)  CLASSES(c), CLASSES((c) + 1), CLASSES((c) + 2), CLASSES((c) + 3)
#define ROW16(c) ROW4(c), ROW4((c) + 4), ROW4((c) + 8), ROW4((c) + 12)
#define ROW64(c) ROW16(c), ROW16((c) + 16), ROW16((c) + 32), ROW16((c) + 48)

const unsigned char char_classes[256] = {ROW64(0), ROW64(64), ROW64(128), ROW64(192)};
