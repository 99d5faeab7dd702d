/* Fetch / of a host with nothing but a C library: client HOST PORT. What goes wrong is one line. */
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int count, char **arguments)
{
    struct addrinfo wanted = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *found, *each;
    char text[4096];
    ssize_t size;
    int end = -1, failure;
    if (count != 3)
        return 2;
    failure = getaddrinfo(arguments[1], arguments[2], &wanted, &found);
    if (failure) {
        fprintf(stderr, "failed: %s\n", gai_strerror(failure));
        return 1;
    }
    for (each = found; each && end < 0; each = each->ai_next) {
        end = socket(each->ai_family, each->ai_socktype, each->ai_protocol);
        if (end >= 0 && connect(end, each->ai_addr, each->ai_addrlen)) {
            perror("failed: connect");
            close(end);
            end = -1;
        }
    }
    if (end < 0)
        return 1;
    dprintf(end, "GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", arguments[1]);
    while ((size = read(end, text, sizeof text)) > 0)
        fwrite(text, 1, size, stdout);
    return 0;
}
