/* The loopback device of a network namespace, and who listens on it. */
#ifndef ISOBENCH_LOOPBACK_H
#define ISOBENCH_LOOPBACK_H

/* Bring the device of our network namespace up; -1 and errno when that fails. */
int loopback_up(void);
/* 1 when a TCP port of 127.0.0.1 or ::1 accepts a connection, which is closed at once without a word. */
int loopback_accepts(int port);

#endif
