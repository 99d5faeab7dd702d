/* Prints size and offsets of the structures the launcher uses, as the headers of the Windows SDK have them. */
#define _WIN32_WINNT 0x0A00
#include <windows.h>
#include <stddef.h>
#include <stdio.h>
#define SIZE(type) printf("%s size %u\n", #type, (unsigned)sizeof(type));
#define FIELD(type, field) printf("%s %s %u\n", #type, #field, (unsigned)offsetof(type, field));
int main(void) {
#include "fields.h"
    return 0;
}
