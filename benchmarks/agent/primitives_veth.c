/* A veth(4) pair by rtnetlink(7), one end here and one in another network namespace: one request, one answer. */
#define _GNU_SOURCE
#include "primitives.h"

#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* linux/netlink.h, linux/rtnetlink.h, linux/if_link.h, linux/veth.h; musl ships no kernel headers. */
struct header {
    uint32_t length;
    uint16_t type, flags;
    uint32_t sequence, port;
};
struct link_message {
    uint8_t family, unused;
    uint16_t type;
    int32_t index;
    uint32_t flags, change;
};
struct attribute {
    uint16_t length, type;
};
struct netlink_address {
    uint16_t family, unused;
    uint32_t port, groups;
};
enum { NEW_LINK = 16, DELETE_LINK = 17, ANSWER_ERROR = 2 };
enum { REQUEST = 0x01, ACKNOWLEDGE = 0x04, EXCLUSIVE = 0x200, CREATE = 0x400 };
enum { LINK_NAME = 3, LINK_INFO = 18, LINK_NAMESPACE_FD = 28, INFO_KIND = 1, INFO_DATA = 2, VETH_PEER = 1 };
#define FAMILY_NETLINK 16
#define TOKEN_PREFIX "isobench-"

struct message {
    size_t length;
    _Alignas(4) char bytes[512];
};

static int netlink = -1;
static char inner[16], outer[16]; /* IFNAMSIZ */

static void *append(struct message *message, const void *data, size_t size)
{
    void *at = message->bytes + message->length;
    if (data)
        memcpy(at, data, size);
    message->length += (size + 3) & ~(size_t)3; /* NLMSG_ALIGN, RTA_ALIGN */
    return at;
}

static struct attribute *open_attribute(struct message *message, uint16_t type)
{
    struct attribute attribute = {sizeof attribute, type};
    return append(message, &attribute, sizeof attribute);
}

static void close_attribute(struct message *message, struct attribute *attribute)
{
    attribute->length = (uint16_t)(message->bytes + message->length - (char *)attribute);
}

static void add_attribute(struct message *message, uint16_t type, const void *data, size_t size)
{
    struct attribute *attribute = open_attribute(message, type);
    append(message, data, size);
    attribute->length = (uint16_t)(sizeof *attribute + size);
}

static void begin(struct message *message, uint16_t type, uint16_t flags, const char *name)
{
    struct header header = {.type = type, .flags = REQUEST | ACKNOWLEDGE | flags, .sequence = 1};
    struct link_message link = {0};
    *message = (struct message){0};
    append(message, &header, sizeof header);
    append(message, &link, sizeof link);
    add_attribute(message, LINK_NAME, name, strlen(name) + 1);
}

/* Sends and waits for the kernel's answer, which comes when it is done. */
static int ask(int socket, struct message *message)
{
    struct {
        struct header header;
        int32_t error;
        char request[1024];
    } answer;
    uint32_t length = (uint32_t)message->length;
    memcpy(message->bytes, &length, sizeof length);
    if (send(socket, message->bytes, message->length, 0) == -1)
        return -1;
    ssize_t got = recv(socket, &answer, sizeof answer, 0);
    if (got < (ssize_t)(sizeof answer.header + sizeof answer.error) || answer.header.type != ANSWER_ERROR) {
        errno = got == -1 ? errno : EPROTO;
        return -1;
    }
    errno = -answer.error;
    return answer.error ? -1 : 0;
}

static int open_netlink(void)
{
    return tried(socket(FAMILY_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0), "socket(AF_NETLINK, NETLINK_ROUTE)");
}

/* "isob-" and the digits of the run's token: what a clean-up looks for. */
static void name_the_ends(void)
{
    const char *digits = place.token + sizeof TOKEN_PREFIX - 1;
    snprintf(inner, sizeof inner, "isob-%.8si", digits);
    snprintf(outer, sizeof outer, "isob-%.8so", digits);
}

/* A network namespace that stands for the host's, so that nothing of ours is ever seen in that: its services
 * need not be told of links that are gone in a moment. */
int outer_network_open(void)
{
    name_the_ends();
    if (place.outer_net != -1)
        return 0;
    if (tried(unshare(CLONE_NEWNET), "unshare(CLONE_NEWNET)") == -1)
        return -1;
    place.outer_net = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    return tried(place.outer_net, "open /proc/self/ns/net") == -1 ? -1 : 0;
}

int veth_prepare(void) { return tried(unshare(CLONE_NEWNET), "unshare(CLONE_NEWNET)"); }

int veth_make(void)
{
    struct message message;
    struct link_message link = {0};
    begin(&message, NEW_LINK, CREATE | EXCLUSIVE, inner);
    struct attribute *info = open_attribute(&message, LINK_INFO);
    add_attribute(&message, INFO_KIND, "veth", 4);
    struct attribute *data = open_attribute(&message, INFO_DATA);
    struct attribute *peer = open_attribute(&message, VETH_PEER);
    append(&message, &link, sizeof link);
    add_attribute(&message, LINK_NAME, outer, strlen(outer) + 1);
    add_attribute(&message, LINK_NAMESPACE_FD, &place.outer_net, sizeof place.outer_net);
    close_attribute(&message, peer);
    close_attribute(&message, data);
    close_attribute(&message, info);
    netlink = open_netlink();
    return netlink == -1 ? -1 : tried(ask(netlink, &message), "RTM_NEWLINK of a veth pair (%s)", inner);
}

int veth_undo(void)
{
    struct message message;
    begin(&message, DELETE_LINK, 0, inner);
    return tried(ask(netlink, &message), "RTM_DELLINK of %s", inner);
}

/* As a runtime does it when the container has ended: from outside; the other end goes with it. */
int veth_remove_outer_end(void)
{
    struct message message;
    int socket = open_netlink();
    if (socket == -1)
        return -1;
    begin(&message, DELETE_LINK, 0, outer);
    int result = ask(socket, &message);
    int error = errno;
    close(socket);
    errno = error;
    /* ENODEV: it has gone together with the namespace of its other end. */
    return result == -1 && errno == ENODEV ? 0 : tried(result, "RTM_DELLINK of %s", outer);
}
