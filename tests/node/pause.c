/* Holds the namespaces of a Pod until it is told to end. As pid 1 it is sent no signal that it does not handle. */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static void end(int signal) {
  (void)signal;
  _exit(0);
}

int main(void) {
  signal(SIGTERM, end);
  signal(SIGINT, end);
  for (;;)
    pause();
}
