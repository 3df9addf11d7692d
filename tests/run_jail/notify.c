/* Sends each argument as a message to NOTIFY_SOCKET, with a descriptor, as a hostile program would; the first word @long is a long one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int main(int count, char **arguments)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	if (!path) {
		puts("no socket");
		return 1;
	}
	strncpy(to.sun_path, path, sizeof to.sun_path - 1);
	int from = socket(AF_UNIX, SOCK_DGRAM, 0);
	for (int at = 1; at < count; at++) {
		static char text[5000];
		snprintf(text, sizeof text, "%s", arguments[at]);
		if (!strcmp(text, "@long"))
			memset(text, 'x', sizeof text - 1), memcpy(text, "READY=1\n", 8);
		struct iovec vector = { text, strlen(text) };
		char control[CMSG_SPACE(sizeof(int))] = { 0 };
		struct msghdr message = { &to, sizeof to, &vector, 1, control, sizeof control, 0 };
		struct cmsghdr *header = CMSG_FIRSTHDR(&message);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(header), &from, sizeof from);
		if (sendmsg(from, &message, 0) < 0) {
			perror("sendmsg");
			return 1;
		}
	}
	const char *watchdog = getenv("WATCHDOG_USEC");
	const char *pid = getenv("WATCHDOG_PID");
	printf("%s %s %s\n", path, watchdog ? watchdog : "-", pid ? pid : "-");
	return 0;
}
