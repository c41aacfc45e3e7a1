/* err.c - the texts of the error codes. */
#include "base/err.h"

const char *sprig_err_text(int err)
{
    switch ((enum sprig_err)err) {
    case SPRIG_OK:
        return "success";
    case SPRIG_E_NOMEM:
        return "out of memory";
    case SPRIG_E_SYS:
        return "system call failed";
    case SPRIG_E_INVALID:
        return "invalid argument";
    case SPRIG_E_LIMIT:
        return "limit exceeded";
    case SPRIG_E_CLOSED:
        return "connection closed";
    case SPRIG_E_STATE:
        return "not possible in this state";
    case SPRIG_E_NOTFOUND:
        return "not found";
    }
    return err > 0 ? "success" : "unknown error";
}
