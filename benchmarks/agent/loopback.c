#define _GNU_SOURCE
#include "loopback.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define ANSWER_MS 1

/* netdevice(7); the kernel gives the device its addresses when it comes up. */
int loopback_up(void)
{
    struct ifreq request = {.ifr_name = "lo"};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd == -1)
        return -1;
    int result = ioctl(fd, SIOCGIFFLAGS, &request);
    request.ifr_flags |= IFF_UP;
    if (result == 0)
        result = ioctl(fd, SIOCSIFFLAGS, &request);
    int error = errno;
    close(fd);
    errno = error;
    return result;
}

/* A port of the ephemeral range may be given to the very socket that looks for it, which then has itself for a
 * peer (simultaneous open, RFC 9293). Reset, lest it keeps the workload from the port. */
static int is_own_peer(int fd)
{
    struct sockaddr_in6 us = {0}, them = {0};
    socklen_t us_size = sizeof us, them_size = sizeof them;
    if (getsockname(fd, (struct sockaddr *)&us, &us_size) == -1 ||
        getpeername(fd, (struct sockaddr *)&them, &them_size) == -1 || us.sin6_port != them.sin6_port)
        return 0;
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1}, sizeof(struct linger));
    return 1;
}

static int accepts(const struct sockaddr *address, socklen_t size)
{
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), error = 0;
    if (fd == -1)
        return 0;
    socklen_t error_size = sizeof error;
    int done = connect(fd, address, size) == 0;
    if (!done && errno == EINPROGRESS) {
        struct pollfd answer = {.fd = fd, .events = POLLOUT};
        done = poll(&answer, 1, ANSWER_MS) == 1 &&
               getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &error_size) == 0 && error == 0;
    }
    done = done && !is_own_peer(fd);
    close(fd);
    return done;
}

int loopback_accepts(int port)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
    v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    v6.sin6_addr = (struct in6_addr)IN6ADDR_LOOPBACK_INIT;
    return accepts((struct sockaddr *)&v4, sizeof v4) || accepts((struct sockaddr *)&v6, sizeof v6);
}
