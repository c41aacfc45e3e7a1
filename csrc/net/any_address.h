/* any_address.h - room for the address of a socket of any family. */
#ifndef SPRIG_ANY_ADDRESS_H
#define SPRIG_ANY_ADDRESS_H

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

union any_address {
    struct sockaddr sa;
    struct sockaddr_storage storage;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    struct sockaddr_un un;
};

#endif
