/* nghttp2.h - the library, and names that differ between its versions. */
#ifndef SPRIG_NGHTTP2_H
#define SPRIG_NGHTTP2_H

#define NGHTTP2_NO_SSIZE_T_DEPRECATED
#include <nghttp2/nghttp2.h>

#endif
