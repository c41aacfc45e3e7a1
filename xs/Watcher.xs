# Watcher.xs - the loop as Perl sees it: what Sprig::Loop and AnyEvent::Impl::Sprig are made of.
# The prototypes are those that AnyEvent gives to its AE:: functions; they must be equal.

MODULE = Sprig    PACKAGE = Sprig::Loop

PROTOTYPES: ENABLE

SV *
io(fh, is_write, cb)
    SV *fh
    SV *is_write
    SV *cb
  PROTOTYPE: $$$
  CODE:
    RETVAL = psgi_watcher_io(aTHX_ fh, SvTRUE(is_write) ? SPRIG_WRITE : SPRIG_READ, cb);
  OUTPUT:
    RETVAL

SV *
timer(after, interval, cb)
    SV *after
    SV *interval
    SV *cb
  PROTOTYPE: $$$
  CODE:
    RETVAL = psgi_watcher_timer(aTHX_ after, interval, cb);
  OUTPUT:
    RETVAL

SV *
signal(signal, cb)
    SV *signal
    SV *cb
  PROTOTYPE: $$
  CODE:
    RETVAL = psgi_watcher_signal(aTHX_ signal, cb);
  OUTPUT:
    RETVAL

SV *
idle(cb)
    SV *cb
  PROTOTYPE: $
  CODE:
    RETVAL = psgi_watcher_idle(aTHX_ cb);
  OUTPUT:
    RETVAL

NV
time()
  PROTOTYPE:
  CODE:
    RETVAL = psgi_loop_time(aTHX);
  OUTPUT:
    RETVAL

NV
now()
  PROTOTYPE:
  CODE:
    RETVAL = psgi_loop_now(aTHX);
  OUTPUT:
    RETVAL

void
now_update()
  PROTOTYPE:
  CODE:
    sprig_loop_now_update(psgi_loop(aTHX));

PROTOTYPES: DISABLE

int
pass(block = true)
    bool block
  CODE:
    RETVAL = psgi_loop_pass(aTHX_ block);
  OUTPUT:
    RETVAL

void
_pass_until(hash, key, other)
    SV *hash
    SV *key
    SV *other
  CODE:
    psgi_loop_pass_until(aTHX_ hash, key, other);

UV
depth()
  CODE:
    RETVAL = sprig_loop_depth(psgi_loop(aTHX));
  OUTPUT:
    RETVAL

int
poll_fd()
  CODE:
    RETVAL = sprig_loop_poll_fd(psgi_loop(aTHX));
  OUTPUT:
    RETVAL

void
_set_interest(on_interest, on_timeout)
    SV *on_interest
    SV *on_timeout
  CODE:
    psgi_loop_set_interest(aTHX_ on_interest, on_timeout);

void
_call(cb, ...)
    SV *cb
  CODE:
    psgi_callback(aTHX_ cb, &ST(1), items - 1);
