# PAGI.xs - the methods of pagi.connection and pagi.transport, and the applications of a server.

MODULE = Sprig    PACKAGE = Sprig::Service

PROTOTYPES: DISABLE

void
mount(self, path, app, is_pagi, state)
    SV *self
    SV *path
    SV *app
    bool is_pagi
    SV *state
  CODE:
    STRLEN len;
    const char *text = SvPV(path, len);
    HV *shared = SvROK(state) && SvTYPE(SvRV(state)) == SVt_PVHV ? (HV *)SvRV(state) : NULL;
    psgi_server_mount(aTHX_ psgi_server_get(aTHX_ self), span_make(text, len), app, is_pagi,
                      shared);

MODULE = Sprig    PACKAGE = Sprig::PAGI

void
_log(text)
    const char *text
  CODE:
    sprig_log(SPRIG_LOG_INFO, "%s", text);

MODULE = Sprig    PACKAGE = Sprig::PAGI::Future

bool
_learn(pending, done, failed, cancelled)
    SV *pending
    SV *done
    SV *failed
    SV *cancelled
  CODE:
    RETVAL = psgi_future_learn(aTHX_ pending, done, failed, cancelled);
  OUTPUT:
    RETVAL

# Future->AWAIT_NEW_DONE, as which a Perl sub calls Future->done.

SV *
_new_done(class, ...)
    SV *class
  CODE:
    RETVAL = psgi_future_of_class(aTHX_ class, &ST(1), items - 1);
    if (RETVAL == NULL)
        RETVAL = psgi_future_ask(aTHX_ class, "done", &ST(1), items - 1);
  OUTPUT:
    RETVAL

bool
_is_ready(self)
    SV *self
  CODE:
    RETVAL = psgi_future_is_ready(aTHX_ self);
  OUTPUT:
    RETVAL

void
_get(self)
    SV *self
  PPCODE:
    AV *result = psgi_future_result(aTHX_ self);
    if (result == NULL) {
        PUTBACK;
        SV *value = psgi_future_ask(aTHX_ self, "result", NULL, 0);
        SPAGAIN;
        mXPUSHs(value);
    } else if (GIMME_V != G_LIST) {
        XPUSHs(AvFILLp(result) >= 0 ? AvARRAY(result)[0] : &PL_sv_undef);
    } else {
        EXTEND(SP, AvFILLp(result) + 1);
        for (SSize_t i = 0; i <= AvFILLp(result); i++)
            PUSHs(AvARRAY(result)[i]);
    }

# What await asks of a future, answered for the one that is always ready.

MODULE = Sprig    PACKAGE = Sprig::PAGI::Future::Ready

void
AWAIT_IS_READY(self)
    SV *self
  PPCODE:
    PERL_UNUSED_VAR(self);
    XSRETURN_YES;

void
AWAIT_IS_CANCELLED(self)
    SV *self
  PPCODE:
    PERL_UNUSED_VAR(self);
    XSRETURN_NO;

void
AWAIT_GET(self)
    SV *self
  PPCODE:
    PERL_UNUSED_VAR(self);
    if (GIMME_V == G_SCALAR)
        XSRETURN_UNDEF;
    XSRETURN_EMPTY;

MODULE = Sprig    PACKAGE = Sprig::PAGI::Connection

bool
is_connected(self)
    SV *self
  CODE:
    RETVAL = psgi_connection_is_connected(aTHX_ self);
  OUTPUT:
    RETVAL

SV *
disconnect_reason(self)
    SV *self
  CODE:
    RETVAL = psgi_connection_reason(aTHX_ self);
  OUTPUT:
    RETVAL

SV *
disconnect_detail(self)
    SV *self
  CODE:
    RETVAL = psgi_connection_detail(aTHX_ self);
  OUTPUT:
    RETVAL

SV *
response_started(self)
    SV *self
  CODE:
    RETVAL = psgi_connection_started(aTHX_ self);
  OUTPUT:
    RETVAL

SV *
response_complete(self)
    SV *self
  CODE:
    RETVAL = psgi_connection_complete(aTHX_ self);
  OUTPUT:
    RETVAL

SV *
disconnect_future(self)
    SV *self
  CODE:
    RETVAL = psgi_connection_future(aTHX_ self);
  OUTPUT:
    RETVAL

void
abort(self, detail = &PL_sv_undef)
    SV *self
    SV *detail
  CODE:
    psgi_connection_abort(aTHX_ self, detail);

void
on_disconnect(self, cb)
    SV *self
    SV *cb
  ALIAS:
    on_complete = 1
  CODE:
    psgi_connection_on(aTHX_ self, ix == 0 ? SCOPE_ON_DISCONNECT : SCOPE_ON_COMPLETE, cb);

MODULE = Sprig    PACKAGE = Sprig::PAGI::Transport

UV
buffered_amount(self)
    SV *self
  CODE:
    RETVAL = psgi_transport_buffered(aTHX_ self);
  OUTPUT:
    RETVAL

UV
high_water_mark(self)
    SV *self
  ALIAS:
    low_water_mark = 1
  CODE:
    RETVAL = psgi_transport_mark(aTHX_ self, ix == 0);
  OUTPUT:
    RETVAL

void
on_high_water(self, cb)
    SV *self
    SV *cb
  ALIAS:
    on_drain = 1
  CODE:
    psgi_connection_on(aTHX_ self, ix == 0 ? SCOPE_ON_HIGH_WATER : SCOPE_ON_DRAIN, cb);
