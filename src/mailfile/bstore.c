#include "mailfile/bstore.h"

#include "base/cur.h"
#include "text/json.h"

enum {
    MOST_VALUES = 20000, // of a description
    MOST_FIELDS = 500,
    MOST_DEPTH = 16,
    MOST_WANTED = 64,
    MOST_VERSIONS = 1000,
    MOST_IN_RECORD = 1000000, // values; those of fields that are not wanted do not count
    NOT_WANTED = -1,
};

// In their order: the first version of the format had numbers, from 1 on, for the names.
enum kind {
    KIND_BYTES, KIND_BOOL, KIND_INT, KIND_INT8, KIND_INT16, KIND_INT32, KIND_INT64, KIND_UINT,
    KIND_UINT8, KIND_UINT16, KIND_UINT32, KIND_UINT64, KIND_FLOAT32, KIND_FLOAT64, KIND_MAP, KIND_SLICE,
    KIND_STRING, KIND_TIME, KIND_BINARYMARSHAL, KIND_STRUCT, KIND_ARRAY,
};
static const struct str kind_names[] = {
    STR_("bytes"), STR_("bool"), STR_("int"), STR_("int8"), STR_("int16"), STR_("int32"), STR_("int64"),
    STR_("uint"), STR_("uint8"), STR_("uint16"), STR_("uint32"), STR_("uint64"), STR_("float32"),
    STR_("float64"), STR_("map"), STR_("slice"), STR_("string"), STR_("time"), STR_("binarymarshal"),
    STR_("struct"), STR_("array"),
};

struct type {
    enum kind kind;
    bool is_pointer;
    struct type *key, *value; // of a map; value: of a list, too
    uint64_t length;          // of an array
    struct bstore_field *fields;     // of a struct
    size_t n_fields, cap_fields;
    int64_t sequence; // positive: it defines this number; negative: it is as that was defined
    const struct type *same; // which is this one; NULL: it has its own fields, or those of the record (-1)
};
struct bstore_field {
    struct str name;
    struct type type;
    int slot; // in the wanted values
};
struct bstore_version {
    uint64_t number;
    struct bstore_field *fields; // the first is the primary key
    size_t n_fields, cap_fields;
    struct type **defined; // by their sequence
    size_t n_defined, cap_defined;
};

/* --- descriptions ------------------------------------------------------------------------------------ */

struct reading {
    struct arena *a;
    struct bstore_version *version;
    struct err *e;
};

static bool read_fields(struct reading *r, const json_t *list, unsigned depth, struct bstore_field **fields,
                        size_t *n, size_t *cap);

static bool read_kind(struct reading *r, const json_t *kind, enum kind *out)
{
    json_int_t index = json_is_integer(kind) ? json_integer_value(kind) : 0;

    if (index >= 1 && index <= (json_int_t)COUNT(kind_names)) {
        *out = (enum kind)(index - 1);
        return true;
    }
    for (size_t i = 0; json_is_string(kind) && i < COUNT(kind_names); i++)
        if (str_eq(str_of(json_string_value(kind)), kind_names[i])) {
            *out = (enum kind)i;
            return true;
        }
    return fail(r->e, ERR_SYNTAX, "bstore: a field of a kind that is not known");
}

static bool read_type(struct reading *r, const json_t *json, unsigned depth, struct type *out);

static bool read_type_at(struct reading *r, const json_t *json, const char *name, unsigned depth,
                         struct type **out)
{
    *out = ARENA_NEW(r->a, struct type);
    return read_type(r, json_object_get(json, name), depth + 1, *out);
}

static bool read_type(struct reading *r, const json_t *json, unsigned depth, struct type *out)
{
    json_int_t length = json_integer_value(json_object_get(json, "ArrayLength"));

    if (depth > MOST_DEPTH)
        return fail(r->e, ERR_LIMIT, "bstore: types are nested too deep");
    *out = (struct type){.is_pointer = json_is_true(json_object_get(json, "Ptr")),
                         .sequence = json_integer_value(json_object_get(json, "FieldsTypeSeq")),
                         .length = length > 0 ? (uint64_t)length : 0};
    if (!read_kind(r, json_object_get(json, "Kind"), &out->kind))
        return false;
    if (out->kind == KIND_MAP)
        return read_type_at(r, json, "MapKey", depth, &out->key) &&
               read_type_at(r, json, "MapValue", depth, &out->value);
    if (out->kind == KIND_SLICE || out->kind == KIND_ARRAY)
        return read_type_at(r, json, "List", depth, &out->value);
    if (out->kind != KIND_STRUCT)
        return true;
    for (size_t i = 0; out->sequence < -1 && i < r->version->n_defined && !out->same; i++)
        if (r->version->defined[i]->sequence + out->sequence == 0)
            out->same = r->version->defined[i];
    if (out->sequence > 0)
        *ARENA_PUSH(r->a, r->version->defined, &r->version->n_defined, &r->version->cap_defined) = out;
    return read_fields(r, json_object_get(json, "Fields"), depth + 1, &out->fields, &out->n_fields,
                       &out->cap_fields);
}

static bool read_fields(struct reading *r, const json_t *list, unsigned depth, struct bstore_field **fields,
                        size_t *n, size_t *cap)
{
    size_t many = json_array_size(list);

    if (many > MOST_FIELDS)
        return fail(r->e, ERR_LIMIT, "bstore: a type has too many fields");
    // At once, since they are pointed to.
    *fields = ARENA_ARRAY(r->a, many + 1, struct bstore_field);
    *cap = many + 1;
    for (*n = 0; *n < many; ++*n) {
        const json_t *json = json_array_get(list, *n);
        struct bstore_field *f = &(*fields)[*n];

        *f = (struct bstore_field){.name = arena_dup(r->a, json_text_at(json, "Name"))};
        if (!read_type(r, json_object_get(json, "Type"), depth, &f->type))
            return false;
    }
    return true;
}

struct versions {
    struct arena *a;
    struct bstore_type *out;
};

static bool read_version(void *ctx, struct str key, struct str value, const struct bolt_bucket *bucket,
                         struct err *e)
{
    struct versions *v = ctx;
    struct bstore_version *version;
    struct reading r = {.a = v->a, .e = e};
    json_t *json;
    bool is_ok;

    if (bucket || key.n != 4)
        return true;
    if (v->out->n == MOST_VERSIONS)
        return fail(e, ERR_LIMIT, "bstore: a type has too many versions");
    json = json_read(value, MOST_VALUES, e);
    if (!json)
        return fail_in(e, "bstore: a description");
    version = ARENA_PUSH(v->a, v->out->versions, &v->out->n, &v->out->cap);
    *version = (struct bstore_version){0};
    for (size_t i = 0; i < key.n; i++)
        version->number = version->number << 8 | (unsigned char)key.p[i];
    r.version = version;
    is_ok = read_fields(&r, json_object_get(json, "Fields"), 0, &version->fields, &version->n_fields,
                        &version->cap_fields);
    json_decref(json);
    return is_ok && (version->n_fields || fail(e, ERR_SYNTAX, "bstore: a type without fields"));
}

bool bstore_type_read(const struct bolt *b, struct arena *a, struct str name, struct bstore_type *out,
                      struct err *e)
{
    struct versions v = {a, out};
    struct bolt_bucket type, types;

    *out = (struct bstore_type){0};
    return bolt_find(b, NULL, name, &type, e) && bolt_find(b, &type, STR("types"), &types, e) &&
           bolt_find(b, &type, STR("records"), &out->records, e) &&
           bolt_each(b, &types, read_version, &v, e);
}

/* --- records ----------------------------------------------------------------------------------------- */

// A number in base 128, the lowest digits first; each byte but the last has its highest bit set.
static bool uvarint(struct cur *c, uint64_t *out)
{
    uint64_t v = 0;

    for (unsigned shift = 0; shift < 64; shift += 7) {
        int byte = cur_next(c);

        if (byte < 0 || (shift == 63 && byte > 1))
            return false;
        v |= (uint64_t)(byte & 127) << shift;
        if (!(byte & 128)) {
            *out = v;
            return true;
        }
    }
    return false;
}

// Zigzag: the lowest bit is the sign.
static bool varint(struct cur *c, uint64_t *out)
{
    uint64_t v;

    if (!uvarint(c, &v))
        return false;
    *out = v & 1 ? ~(v >> 1) : v >> 1;
    return true;
}

static bool counted(struct cur *c, struct str *out)
{
    uint64_t n;

    return uvarint(c, &n) && n <= cur_left(c) && cur_take(c, (size_t)n, out);
}

static bool bitmap(struct cur *c, uint64_t n, struct str *out)
{
    return n / 8 <= cur_left(c) && cur_take(c, (size_t)((n + 7) / 8), out);
}

static bool has_bit(struct str map, uint64_t i)
{
    return (unsigned char)map.p[i / 8] & (128u >> (i % 8));
}

// time.Time as it marshals itself: version, seconds since the year 1, nanoseconds, offset of the zone.
static bool read_time(struct str bytes, struct bstore_value *out)
{
    enum { SECONDS_AT = 1 };
    static const int64_t year_1 = 62135596800; // seconds from there to 1970
    uint64_t seconds = 0;

    if (bytes.n < 15 || (bytes.p[0] != 1 && bytes.p[0] != 2))
        return false;
    for (size_t i = 0; i < 8; i++)
        seconds = seconds << 8 | (unsigned char)bytes.p[SECONDS_AT + i];
    return !__builtin_sub_overflow((int64_t)seconds, year_1, &out->unix_seconds);
}

struct decoding {
    const struct bstore_version *version;
    struct arena *a;
    size_t n_left; // values that are still kept
    bool is_kept;  // what is read; else it is passed over
};

static bool read_value(struct decoding *d, struct cur *c, const struct type *t, unsigned depth,
                       struct bstore_value *out);

// Room for what is in a value, if that is kept.
static bool begin_items(struct decoding *d, uint64_t n, struct bstore_value *out)
{
    if (!d->is_kept)
        return true;
    if (n > d->n_left)
        return false;
    d->n_left -= (size_t)n;
    out->items = ARENA_ARRAY(d->a, (size_t)n, struct bstore_value);
    out->n_items = (size_t)n;
    return true;
}

static struct bstore_value *item(struct bstore_value *of, uint64_t i, struct bstore_value *passed_over)
{
    return of->items ? &of->items[i] : passed_over;
}

static bool read_list(struct decoding *d, struct cur *c, const struct type *t, unsigned depth,
                      struct bstore_value *out)
{
    struct bstore_value unused = {0};
    uint64_t n = t->length;
    struct str map;

    if ((t->kind == KIND_SLICE && !uvarint(c, &n)) || !bitmap(c, n, &map) || !begin_items(d, n, out))
        return false;
    for (uint64_t i = 0; i < n; i++)
        if (has_bit(map, i) && !read_value(d, c, t->value, depth + 1, item(out, i, &unused)))
            return false;
    return true;
}

static bool read_map(struct decoding *d, struct cur *c, const struct type *t, unsigned depth,
                     struct bstore_value *out)
{
    struct bstore_value unused = {0};
    struct str map;
    uint64_t n;

    if (!uvarint(c, &n) || !bitmap(c, n, &map) || !begin_items(d, 2 * n, out))
        return false;
    for (uint64_t i = 0; i < n; i++)
        if (!read_value(d, c, t->key, depth + 1, item(out, 2 * i, &unused)) ||
            (has_bit(map, i) && !read_value(d, c, t->value, depth + 1, item(out, 2 * i + 1, &unused))))
            return false;
    return true;
}

// The fields of a struct; one that was described before is described there.
static bool read_struct(struct decoding *d, struct cur *c, const struct type *t, unsigned depth,
                        struct bstore_value *out)
{
    struct bstore_value unused = {0};
    const struct bstore_field *fields = t->fields;
    size_t n = t->n_fields;
    struct str map;

    if (t->sequence == -1) { // the record's own type
        fields = d->version->fields;
        n = d->version->n_fields;
    }
    if (t->same) {
        fields = t->same->fields;
        n = t->same->n_fields;
    }
    if (!bitmap(c, n, &map) || !begin_items(d, n, out))
        return false;
    out->fields = fields;
    for (size_t i = 0; i < n; i++)
        if (has_bit(map, i) && !read_value(d, c, &fields[i].type, depth + 1, item(out, i, &unused)))
            return false;
    return true;
}

const struct bstore_value *bstore_in(const struct bstore_value *v, const char *path)
{
    static const struct bstore_value none;
    struct str rest = str_of(path), name;

    while (str_next(&rest, '.', &name)) {
        size_t i = 0;

        while (v->fields && i < v->n_items && !str_eq(v->fields[i].name, name))
            i++;
        if (!v->fields || i == v->n_items)
            return &none;
        v = &v->items[i];
    }
    return v;
}

// A value that is not zero.
static bool read_value(struct decoding *d, struct cur *c, const struct type *t, unsigned depth,
                       struct bstore_value *out)
{
    int byte;

    out->is_set = true;
    if (depth > MOST_DEPTH)
        return false;
    switch (t->kind) {
    case KIND_BYTES:
    case KIND_STRING:
    case KIND_BINARYMARSHAL:
        return counted(c, &out->text);
    case KIND_TIME:
        return counted(c, &out->text) && read_time(out->text, out);
    case KIND_BOOL:
        byte = t->is_pointer ? cur_next(c) : 1; // what a pointer points to may be false
        out->number = byte == 1;
        return byte >= 0;
    case KIND_INT:
    case KIND_INT8:
    case KIND_INT16:
    case KIND_INT32:
    case KIND_INT64:
        return varint(c, &out->number);
    case KIND_UINT:
    case KIND_UINT8:
    case KIND_UINT16:
    case KIND_UINT32:
    case KIND_UINT64:
    case KIND_FLOAT32:
    case KIND_FLOAT64:
        return uvarint(c, &out->number);
    case KIND_SLICE:
    case KIND_ARRAY:
        return read_list(d, c, t, depth, out);
    case KIND_MAP:
        return read_map(d, c, t, depth, out);
    case KIND_STRUCT:
        return read_struct(d, c, t, depth, out);
    }
    return false;
}

// Whole numbers are as wide as their type, big-endian, and signed ones are moved up so that they sort.
static bool read_key(struct str key, const struct type *t, struct bstore_value *out)
{
    static const uint8_t widths[] = {[KIND_BOOL] = 1, [KIND_INT] = 4, [KIND_INT8] = 1, [KIND_INT16] = 2,
                                     [KIND_INT32] = 4, [KIND_INT64] = 8, [KIND_UINT] = 4, [KIND_UINT8] = 1,
                                     [KIND_UINT16] = 2, [KIND_UINT32] = 4, [KIND_UINT64] = 8};
    uint64_t v = 0;

    *out = (struct bstore_value){.is_set = true, .text = key};
    if (t->kind == KIND_STRING || t->kind == KIND_BYTES)
        return true;
    if (t->kind >= COUNT(widths) || key.n != widths[t->kind])
        return false;
    for (size_t i = 0; i < key.n; i++)
        v = v << 8 | (unsigned char)key.p[i];
    if (t->kind >= KIND_INT && t->kind <= KIND_INT64)
        v -= (uint64_t)1 << (8 * key.n - 1);
    out->number = v;
    return true;
}

struct records {
    const struct bstore_type *type;
    bstore_fn *fn;
    void *ctx;
};

static const struct bstore_version *version_of(const struct bstore_type *type, uint64_t number)
{
    for (size_t i = 0; i < type->n; i++)
        if (type->versions[i].number == number)
            return &type->versions[i];
    return NULL;
}

static bool read_record(struct decoding *d, struct cur *c, struct str key,
                        struct bstore_value *values)
{
    const struct bstore_version *v = d->version;
    struct bstore_value unused;
    struct str map;

    if (!read_key(key, &v->fields[0].type, v->fields[0].slot < 0 ? &unused : &values[v->fields[0].slot]) ||
        !bitmap(c, v->n_fields - 1, &map))
        return false;
    for (size_t i = 1; i < v->n_fields; i++) {
        const struct bstore_field *f = &v->fields[i];
        struct bstore_value skipped = {0};

        d->is_kept = f->slot >= 0;
        if (has_bit(map, i - 1) &&
            !read_value(d, c, &f->type, 0, f->slot < 0 ? &skipped : &values[f->slot]))
            return false;
    }
    return !cur_left(c);
}

static bool on_record(void *ctx, struct str key, struct str value, const struct bolt_bucket *bucket,
                      struct err *e)
{
    const struct records *r = ctx;
    AUTO_ARENA a = ARENA_LIMIT(256 << 20);
    struct bstore_value values[MOST_WANTED] = {0};
    struct cur c = cur_of(value);
    struct decoding d = {.a = &a, .n_left = MOST_IN_RECORD};
    uint64_t version;

    if (bucket)
        return fail(e, ERR_SYNTAX, "bstore: a bucket among records");
    if (!uvarint(&c, &version) || !(d.version = version_of(r->type, version)))
        return fail(e, ERR_SYNTAX, "bstore: a record of a version that is not described");
    if (!read_record(&d, &c, key, values))
        return fail(e, ERR_SYNTAX, "bstore: a record that is not as its type says");
    return r->fn(r->ctx, &(struct bstore_record){key, value, values, &a}, e);
}

// A value is that of the first field of its name.
static void set_slots(struct bstore_version *v, const char *const *names, size_t n)
{
    bool is_taken[MOST_WANTED] = {0};

    for (size_t i = 0; i < v->n_fields; i++) {
        struct bstore_field *f = &v->fields[i];

        f->slot = NOT_WANTED;
        for (size_t k = 0; k < n; k++)
            if (!is_taken[k] && str_eq(f->name, str_of(names[k]))) {
                f->slot = (int)k;
                is_taken[k] = true;
            }
    }
}

bool bstore_want(const struct bstore_type *type, const char *const *names, size_t n, struct err *e)
{
    if (n > MOST_WANTED)
        return fail(e, ERR_BUG, "too many fields are wanted");
    for (size_t v = 0; v < type->n; v++)
        set_slots(&type->versions[v], names, n);
    return true;
}

bool bstore_each(const struct bolt *b, const struct bstore_type *type, bstore_fn *fn, void *ctx, struct err *e)
{
    return bolt_each(b, &type->records, on_record, &(struct records){type, fn, ctx}, e);
}

bool bstore_read(const struct bstore_type *type, struct str key, struct str bytes, bstore_fn *fn, void *ctx,
                 struct err *e)
{
    return on_record(&(struct records){type, fn, ctx}, key, bytes, NULL, e);
}
