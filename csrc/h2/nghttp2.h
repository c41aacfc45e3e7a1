/* nghttp2.h - the library, and what its versions call by other names. */
#ifndef SPRIG_NGHTTP2_H
#define SPRIG_NGHTTP2_H

#define NGHTTP2_NO_SSIZE_T_DEPRECATED
#include <nghttp2/nghttp2.h>

#endif
