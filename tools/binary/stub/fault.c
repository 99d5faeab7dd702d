/* What went wrong, as one sentence. */
#include "program.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int because(char *reason, const char *format, ...) {
    int fault = errno;
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(reason, REASON_LENGTH, format, arguments);
    va_end(arguments);
    if (fault && length >= 0 && length < REASON_LENGTH)
        snprintf(reason + length, REASON_LENGTH - (size_t)length, ": %s", strerror(fault));
    errno = fault;
    return -1;
}
