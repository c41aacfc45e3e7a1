/* errorlog.c - error log lines that wait for a reader; see errorlog.h */
#include "serve/errorlog.h"

#include "base/log.h"
#include "loop/loop.h"
#include "loop/signals.h"

enum { RETRY_MS = 100 };

static struct {
    struct sprig_loop *loop; /* borrowed; NULL: none yet */
    struct timer timer;
    struct sprig_signal *signal; /* lives as long as the loop */
} retry;

static void start(void *arg)
{
    (void)arg;
    timer_start(retry.loop, &retry.timer,
                sprig_loop_now(retry.loop) + RETRY_MS * UINT64_C(1000000));
}

static void on_timer(struct ready *r, uint32_t what)
{
    (void)r, (void)what;
    if (sprig_log_flush())
        start(NULL);
}

static void on_signal(struct sprig_signal *signal, int signo, void *arg)
{
    (void)signal, (void)signo, (void)arg;
    sprig_log_reopen();
}

void error_log_attach(struct sprig_loop *loop)
{
    if (retry.loop == NULL) {
        retry.loop = loop;
        timer_init(&retry.timer, on_timer);
        sprig_log_on_waiting(start, NULL);
    }
    if (retry.signal != NULL || !sprig_log_has_file())
        return;
    retry.signal = sprig_signal_new(loop, SIGUSR1, on_signal, NULL);
    if (retry.signal != NULL)
        signal_trust(retry.signal);
}
