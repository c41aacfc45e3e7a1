/* channels.c - Sprig::Channel: handles for channels of the core, their members and listeners. */
#include "channels.h"
#include "base/list.h"
#include "call.h"
#include "channel.h"
#include "exchange.h"
#include "handle.h"
#include "http/sse.h"
#include "loop.h"
#include "report.h"
#include "text.h"
#include "websocket_object.h"
#include "writer.h"

/* The C part of one Perl object. */
struct psgi_channel {
    struct sprig_channel *core; /* counted */
    SV *on_publish;             /* owned code ref or NULL */
    struct list_link link;      /* in topic.listeners, while there is one */
};

/* The `app` of the core's channel while somebody listens. */
struct topic {
    struct list_link listeners; /* struct psgi_channel.link */
};

/* ---- what the core calls ---- */

/* A callback may remove objects from the list, so this walks a copy. */
static void on_message(struct sprig_channel *core, const struct sprig_publication *p, void *app,
                       void *arg)
{
    struct psgi *psgi = arg;
    struct topic *topic = app;
    dTHXa(psgi->perl);
    AV *callbacks = newAV();
    SV *args[4];

    PERL_UNUSED_VAR(core);
    list_foreach (it, &topic->listeners)
        av_push(callbacks, newSVsv(list_entry(it, struct psgi_channel, link)->on_publish));
    args[0] = newSVpvn_flags(p->text.ptr, p->text.len, p->is_binary ? 0 : SVf_UTF8);
    args[1] =
        p->event.ptr != NULL ? newSVpvn_flags(p->event.ptr, p->event.len, SVf_UTF8) : newSV(0);
    args[2] = p->id.ptr != NULL ? newSVpvn_flags(p->id.ptr, p->id.len, SVf_UTF8) : newSV(0);
    args[3] = newSVsv(boolSV(p->is_binary));
    for (SSize_t i = 0; i <= av_len(callbacks); i++)
        psgi_callback(aTHX_ * av_fetch(callbacks, i, 0), args, 4);
    for (int i = 0; i < 4; i++)
        SvREFCNT_dec(args[i]);
    SvREFCNT_dec((SV *)callbacks);
}

/* The member's object may be freed. */
static void on_left(void *app, void *arg)
{
    struct psgi *psgi = arg;
    dTHXa(psgi->perl);

    SvREFCNT_dec((SV *)app);
}

static struct sprig_channels *channels_get(pTHX)
{
    struct psgi *psgi = psgi_get(aTHX);
    struct sprig_channels_handler handler = {on_message, on_left, psgi};

    if (psgi->channels == NULL)
        psgi->channels = sprig_channels_new(psgi_loop(aTHX), &handler);
    if (psgi->channels == NULL)
        croak("Sprig::Channel: cannot share memory: %s", Strerror(errno));
    return psgi->channels;
}

/* ---- the object ---- */

static int channel_free(pTHX_ SV *sv, MAGIC *mg);

static const MGVTBL channel_vtbl = {
    NULL, NULL, NULL, NULL, channel_free, NULL, psgi_magic_dup_nothing, NULL};

static struct psgi_channel *channel_find(pTHX_ SV *self)
{
    MAGIC *mg = SvROK(self) && SvTYPE(SvRV(self)) >= SVt_PVMG
                    ? mg_findext(SvRV(self), PERL_MAGIC_ext, &channel_vtbl)
                    : NULL;

    return mg != NULL ? (struct psgi_channel *)mg->mg_ptr : NULL;
}

static struct psgi_channel *channel_of(pTHX_ SV *self)
{
    struct psgi_channel *ch = channel_find(aTHX_ self);

    if (ch == NULL)
        croak("Sprig::Channel: not a channel");
    return ch;
}

static void stop_listening(pTHX_ struct psgi_channel *ch)
{
    struct topic *topic = sprig_channel_app(ch->core);
    SV *cb = ch->on_publish;

    if (cb == NULL)
        return;
    ch->on_publish = NULL;
    list_remove(&ch->link);
    if (list_empty(&topic->listeners)) {
        sprig_channel_set_app(ch->core, NULL);
        Safefree(topic);
    }
    SvREFCNT_dec(cb);
}

static int channel_free(pTHX_ SV *sv, MAGIC *mg)
{
    struct psgi_channel *ch = (struct psgi_channel *)mg->mg_ptr;

    PERL_UNUSED_VAR(sv);
    if (ch == NULL)
        return 0;
    mg->mg_ptr = NULL;
    stop_listening(aTHX_ ch);
    sprig_channel_release(ch->core);
    Safefree(ch);
    return 0;
}

void psgi_channel_open(pTHX_ SV *self, SV *name, UV history)
{
    struct sprig_span text;
    struct sprig_channel *core;
    struct psgi_channel *ch;
    MAGIC *mg;

    if (!SvROK(self) || channel_find(aTHX_ self) != NULL)
        croak("Sprig::Channel: not a new object");
    text = psgi_text_span(aTHX_ psgi_text_sv(aTHX_ name), "Sprig::Channel: the name");
    if (text.len == 0 || text.len > SPRIG_CHANNEL_NAME_BYTES)
        croak("Sprig::Channel: the name must have 1 to %d bytes", (int)SPRIG_CHANNEL_NAME_BYTES);
    core = sprig_channel_get(channels_get(aTHX), text, (uint32_t)history);
    if (core == NULL)
        croak("Sprig::Channel: out of memory");
    Newxz(ch, 1, struct psgi_channel);
    ch->core = core;
    list_init(&ch->link);
    mg = sv_magicext(SvRV(self), NULL, PERL_MAGIC_ext, &channel_vtbl, (const char *)ch, 0);
    mg->mg_flags |= MGf_DUP;
}

void psgi_channel_on_publish(pTHX_ SV *self, SV *cb)
{
    struct psgi_channel *ch = channel_of(aTHX_ self);
    struct topic *topic;

    SvGETMAGIC(cb);
    if (SvOK(cb) && !psgi_is_code(aTHX_ cb))
        croak("Sprig::Channel::on_publish: not a code reference");
    cb = SvOK(cb) ? newSVsv_nomg(cb) : NULL;
    stop_listening(aTHX_ ch);
    if (cb == NULL)
        return;
    topic = sprig_channel_app(ch->core);
    if (topic == NULL) {
        Newxz(topic, 1, struct topic);
        list_init(&topic->listeners);
        if (sprig_channel_set_app(ch->core, topic) != 0) {
            Safefree(topic);
            SvREFCNT_dec(cb);
            croak("Sprig::Channel: cannot share memory: %s", Strerror(errno));
        }
    }
    ch->on_publish = cb;
    list_append(&topic->listeners, &ch->link);
}

/* ---- publishing ---- */

enum { FIELD_EVENT, FIELD_ID, FIELD_NUMBER, FIELD_SINCE, FIELD_SLOW, FIELD_QUEUE_BYTES, N_FIELDS };

/* Reads named values as text; values that need code to run are copied. */
static void read_fields(pTHX_ const char *method, const bool *allowed, SV **fields, I32 n,
                        SV **value)
{
    static const char *const names[N_FIELDS] = {"event", "id",   "number",
                                                "since", "slow", "queue_bytes"};

    if (n % 2 != 0)
        croak("Sprig::Channel::%s: give names and values", method);
    for (int f = 0; f < N_FIELDS; f++)
        value[f] = &PL_sv_undef;
    for (I32 i = 0; i < n; i += 2) {
        const char *name = SvPV_nolen(fields[i]);
        int f = 0;
        while (f < N_FIELDS && (!allowed[f] || strNE(name, names[f])))
            f++;
        if (f == N_FIELDS)
            croak("Sprig::Channel::%s: unknown option '%s'", method, name);
        value[f] = psgi_text_sv(aTHX_ fields[i + 1]);
    }
}

static struct sprig_span line_of(pTHX_ SV *value, const char *method, const char *what)
{
    struct sprig_span line = psgi_text_span(aTHX_ value, what);

    if (!sse_is_field(line))
        croak("Sprig::Channel::%s: %s has a line end or NUL in it", method, what);
    return line;
}

static struct sprig_span bytes_of(pTHX_ SV *plain, const char *method)
{
    if (!SvOK(plain))
        return SPAN_LIT("");
    if (SvUTF8(plain)) {
        plain = sv_2mortal(newSVsv(plain));
        if (!sv_utf8_downgrade(plain, TRUE))
            croak("Sprig::Channel::%s: wide character: binary messages are bytes", method);
    }
    return span_make(SvPVX(plain), SvCUR(plain));
}

static uint64_t whole_number(pTHX_ SV *value, const char *method, const char *what)
{
    NV n = looks_like_number(value) ? SvNV(value) : -1;

    if (!(n >= 0 && n < 18446744073709551616.0) || n != Perl_floor(n))
        croak("Sprig::Channel::%s: %s must be a whole number", method, what);
    return SvIOK(value) ? (uint64_t)SvUV(value) : (uint64_t)n;
}

static void read_publication(pTHX_ const char *method, bool is_local, SV *text, SV **fields, I32 n,
                             struct sprig_publication *p)
{
    const bool allowed[N_FIELDS] = {true, true, is_local};
    SV *value[N_FIELDS];

    if (!psgi_text_is_plain(&text, 1) || !psgi_text_is_plain(fields, n)) {
        fields = psgi_text_hold(aTHX_ fields, n);
        text = sv_2mortal(SvREFCNT_inc_simple_NN(text));
    }
    read_fields(aTHX_ method, allowed, fields, n, value);
    text = psgi_text_sv(aTHX_ text);
    p->event = line_of(aTHX_ value[FIELD_EVENT], method, "event");
    p->id = line_of(aTHX_ value[FIELD_ID], method, "id");
    if (SvOK(value[FIELD_NUMBER]))
        p->number = whole_number(aTHX_ value[FIELD_NUMBER], method, "number");
    p->text = p->is_binary ? bytes_of(aTHX_ text, method)
                           : psgi_text_span(aTHX_ text, "Sprig::Channel: the text");
    if (p->text.ptr == NULL)
        p->text = SPAN_LIT("");
}

bool psgi_channel_publish(pTHX_ SV *self, SV *text, bool is_binary, SV **fields, I32 n)
{
    const char *method = is_binary ? "publish_binary" : "publish";
    struct sprig_channels *all = channels_get(aTHX);
    struct sprig_publication p = {.is_binary = is_binary};
    struct sprig_channel *core;
    int rc;

    channel_of(aTHX_ self);
    ENTER;
    SAVEFREESV(SvREFCNT_inc_simple_NN(SvRV(self)));
    read_publication(aTHX_ method, false, text, fields, n, &p);
    core = channel_of(aTHX_ self)->core;
    if (p.text.len + p.event.len + p.id.len > sprig_channels_max_bytes(all))
        croak("Sprig::Channel::%s: longer than %" UVuf " bytes, an eighth of channel_bytes", method,
              (UV)sprig_channels_max_bytes(all));
    rc = sprig_channel_publish(core, &p);
    sprig_loop_lend(psgi_loop(aTHX));
    LEAVE;
    if (rc != 0)
        psgi_warnf(aTHX_ "Sprig::Channel::%s: %s", method, sprig_err_text(rc));
    return rc == 0;
}

bool psgi_channel_deliver(pTHX_ SV *self, SV *text, bool is_binary, SV **fields, I32 n)
{
    struct sprig_publication p = {.is_binary = is_binary};
    int rc;

    channel_of(aTHX_ self);
    ENTER;
    SAVEFREESV(SvREFCNT_inc_simple_NN(SvRV(self)));
    read_publication(aTHX_ "deliver", true, text, fields, n, &p);
    rc = sprig_channel_deliver(channel_of(aTHX_ self)->core, &p);
    sprig_loop_lend(psgi_loop(aTHX));
    LEAVE;
    return rc == 0;
}

/* ---- members ---- */

static enum sprig_slow slow_of(pTHX_ SV *value)
{
    static const char *const names[] = {"close", "drop", "spill"};

    for (int i = 0; i < 3; i++)
        if (strEQ(SvPV_nolen(value), names[i]))
            return (enum sprig_slow)i;
    croak("Sprig::Channel::join: slow must be close, drop or spill, not '%s'", SvPV_nolen(value));
}

static void read_join(pTHX_ const struct sprig_config *config, SV **fields, I32 n,
                      struct sprig_join *how)
{
    const bool allowed[N_FIELDS] = {
        [FIELD_SINCE] = true, [FIELD_SLOW] = true, [FIELD_QUEUE_BYTES] = true};
    SV *value[N_FIELDS];

    if (!psgi_text_is_plain(fields, n))
        fields = psgi_text_hold(aTHX_ fields, n);
    read_fields(aTHX_ "join", allowed, fields, n, value);
    how->slow = SvOK(value[FIELD_SLOW]) ? slow_of(aTHX_ value[FIELD_SLOW]) : config->channel_slow;
    how->queue_bytes = SvOK(value[FIELD_QUEUE_BYTES])
                           ? whole_number(aTHX_ value[FIELD_QUEUE_BYTES], "join", "queue_bytes")
                           : config->channel_queue_bytes;
    how->since = psgi_text_span(aTHX_ value[FIELD_SINCE], "Sprig::Channel::join: since");
    if (how->since.len == 0)
        how->since.ptr = NULL;
}

/* The member keeps its object alive, so an application does not have to. */
static bool join_writer(pTHX_ struct sprig_channel *core, SV *writer, SV **fields, I32 n)
{
    struct psgi_exchange *px = psgi_writer_exchange(aTHX_ writer, "join");
    struct sprig_join how = {0};
    int rc;

    if (px == NULL)
        return false;
    if (!sprig_response_has_events(px->ex))
        croak("Sprig::Channel::join: the Content-Type of the response is not text/event-stream");
    read_join(aTHX_ psgi_exchange_config(px), fields, n, &how);
    px = psgi_writer_exchange(aTHX_ writer, "join"); /* magic in the fields may have ended it */
    if (px == NULL)
        return false;
    how.app = SvREFCNT_inc_simple_NN(SvRV(writer));
    rc = sprig_channel_join(core, px->ex, &how);
    if (rc != 0)
        SvREFCNT_dec((SV *)how.app);
    if (rc == SPRIG_E_NOMEM)
        croak("Sprig::Channel::join: out of memory");
    return rc == 0;
}

/* A socket that is not open yet, or no longer, cannot be a member. */
static bool join_socket(pTHX_ struct sprig_channel *core, SV *socket, SV **fields, I32 n)
{
    const bool allowed[N_FIELDS] = {[FIELD_SINCE] = true};
    SV *value[N_FIELDS];
    struct sprig_join how = {0};
    struct sprig_ws *ws;
    int rc;

    if (!psgi_text_is_plain(fields, n))
        fields = psgi_text_hold(aTHX_ fields, n);
    read_fields(aTHX_ "join", allowed, fields, n, value);
    how.since = psgi_text_span(aTHX_ value[FIELD_SINCE], "Sprig::Channel::join: since");
    if (how.since.len == 0)
        how.since.ptr = NULL;
    ws = psgi_websocket_core(aTHX_ socket);
    if (ws == NULL)
        return false;
    how.app = SvREFCNT_inc_simple_NN(SvRV(socket));
    rc = sprig_channel_join_ws(core, ws, &how);
    if (rc != 0)
        SvREFCNT_dec((SV *)how.app);
    if (rc == SPRIG_E_NOMEM)
        croak("Sprig::Channel::join: out of memory");
    return rc == 0;
}

bool psgi_channel_join(pTHX_ SV *self, SV *target, SV **fields, I32 n)
{
    bool is_member;
    struct sprig_channel *core = channel_of(aTHX_ self)->core;

    if (!SvROK(target))
        croak("Sprig::Channel::join: give a writer or a WebSocket");
    ENTER;
    SAVEFREESV(SvREFCNT_inc_simple_NN(SvRV(self)));
    target = sv_2mortal(newRV_inc(SvRV(target)));
    is_member = psgi_websocket_find(aTHX_ target) != NULL
                    ? join_socket(aTHX_ core, target, fields, n)
                    : join_writer(aTHX_ core, target, fields, n);
    sprig_loop_lend(psgi_loop(aTHX));
    LEAVE;
    return is_member;
}

bool psgi_channel_leave(pTHX_ SV *self, SV *target)
{
    struct psgi_channel *ch = channel_of(aTHX_ self);
    struct psgi_exchange *px;

    if (psgi_websocket_find(aTHX_ target) != NULL) {
        struct sprig_ws *ws = psgi_websocket_core(aTHX_ target);
        return ws != NULL && sprig_channel_leave_ws(ch->core, ws);
    }
    px = psgi_writer_exchange(aTHX_ target, "leave");
    return px != NULL && sprig_channel_leave(ch->core, px->ex);
}

UV psgi_channel_members(pTHX_ SV *self)
{
    return sprig_channel_members(channel_of(aTHX_ self)->core);
}
