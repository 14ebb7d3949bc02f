/* Cost: one pass, a switch a character. */
#include "base/json_reader.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool json_fail(struct json *j, const char *format, ...)
{
    if (j->failed)
        return false;
    va_list args;
    va_start(args, format);
    vsnprintf(j->why, j->why_size, format, args);
    va_end(args);
    for (char *c = j->why; *c; c++)
        if (iscntrl((unsigned char)*c)) /* of names in the file: nothing may steer a terminal */
            *c = '?';
    j->failed = true;
    return false;
}

static bool fail_here(struct json *j, const char *what)
{
    return json_fail(j, "%s: %s at byte %zu", j->what ? j->what : "no JSON", what,
                     (size_t)(j->at - j->begin));
}

static void skip_spaces(struct json *j)
{
    while (j->at < j->end && (*j->at == ' ' || *j->at == '\n' || *j->at == '\t' || *j->at == '\r'))
        j->at++;
}

bool json_accept(struct json *j, char c)
{
    skip_spaces(j);
    if (j->failed || j->at == j->end || *j->at != (uint8_t)c)
        return false;
    j->at++;
    return true;
}

bool json_expect(struct json *j, char c)
{
    char what[] = "no ' '";
    what[4] = c;
    return json_accept(j, c) || fail_here(j, what);
}

bool json_ended(struct json *j)
{
    skip_spaces(j);
    return !j->failed && j->at == j->end;
}

/* Where a string goes: characters beyond `size` are counted, not stored. */
struct text {
    char *to;
    size_t size, used;
    bool nul;
};

static void put(struct text *t, unsigned byte)
{
    t->nul |= !byte;
    if (t->used < t->size)
        t->to[t->used] = (char)byte;
    t->used++;
}

static void put_utf8(struct text *t, uint32_t c)
{
    if (c < 0x80) {
        put(t, c);
    } else if (c < 0x800) {
        put(t, 0xc0 | c >> 6);
        put(t, 0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
        put(t, 0xe0 | c >> 12);
        put(t, 0x80 | (c >> 6 & 0x3f));
        put(t, 0x80 | (c & 0x3f));
    } else {
        put(t, 0xf0 | c >> 18);
        put(t, 0x80 | (c >> 12 & 0x3f));
        put(t, 0x80 | (c >> 6 & 0x3f));
        put(t, 0x80 | (c & 0x3f));
    }
}

static bool read_hex4(struct json *j, uint32_t *unit)
{
    *unit = 0;
    for (int i = 0; i < 4; i++, j->at++) {
        unsigned c = j->at < j->end ? *j->at : 0, low = c | 0x20;
        if (c >= '0' && c <= '9')
            *unit = *unit << 4 | (c - '0');
        else if (low >= 'a' && low <= 'f')
            *unit = *unit << 4 | (low - 'a' + 10);
        else
            return fail_here(j, "no hexadecimal digit");
    }
    return true;
}

/* What follows \u; characters beyond the first 65,536 come as two. */
static bool read_unicode(struct json *j, struct text *t)
{
    uint32_t first, second;
    if (!read_hex4(j, &first))
        return false;
    if (first >= 0xdc00 && first < 0xe000)
        return fail_here(j, "half a surrogate pair");
    if (first >= 0xd800 && first < 0xdc00) {
        if (j->end - j->at < 2 || j->at[0] != '\\' || j->at[1] != 'u')
            return fail_here(j, "half a surrogate pair");
        j->at += 2;
        if (!read_hex4(j, &second))
            return false;
        if (second < 0xdc00 || second >= 0xe000)
            return fail_here(j, "half a surrogate pair");
        first = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
    }
    put_utf8(t, first);
    return true;
}

static bool read_escape(struct json *j, struct text *t)
{
    if (j->at == j->end)
        return fail_here(j, "an end within a string");
    unsigned c = *j->at++;
    switch (c) {
    case '"':
    case '\\':
    case '/':
        put(t, c);
        return true;
    case 'b':
        put(t, '\b');
        return true;
    case 'f':
        put(t, '\f');
        return true;
    case 'n':
        put(t, '\n');
        return true;
    case 'r':
        put(t, '\r');
        return true;
    case 't':
        put(t, '\t');
        return true;
    case 'u':
        return read_unicode(j, t);
    default:
        return fail_here(j, "an unknown escape");
    }
}

bool json_string(struct json *j, char *text, size_t size)
{
    struct text t = {.to = text, .size = size};
    if (!json_expect(j, '"'))
        return false;
    for (;;) {
        if (j->at == j->end)
            return fail_here(j, "an end within a string");
        unsigned c = *j->at++;
        if (c == '"')
            break;
        if (c < 0x20)
            return fail_here(j, "a control character within a string");
        if (c != '\\')
            put(&t, c);
        else if (!read_escape(j, &t))
            return false;
    }
    text[t.nul || t.used >= size ? 0 : t.used] = 0;
    return true;
}

bool json_unsigned(struct json *j, uint64_t *number)
{
    skip_spaces(j);
    const uint8_t *first = j->at;
    *number = 0;
    for (; j->at < j->end && *j->at >= '0' && *j->at <= '9'; j->at++) {
        unsigned digit = *j->at - '0';
        if (*number > (UINT64_MAX - digit) / 10)
            return fail_here(j, "a number beyond 64 bits");
        *number = *number * 10 + digit;
    }
    if (j->failed || j->at == first)
        return fail_here(j, "no unsigned integer");
    if (*first == '0' && j->at > first + 1)
        return fail_here(j, "a leading zero");
    return true;
}

static bool is_word(const char *text)
{
    return !strcmp(text, "true") || !strcmp(text, "false") || !strcmp(text, "null");
}

static const char *digits(const char *text)
{
    return text + strspn(text, "0123456789");
}

/* -12, 0.5, 1e-9 */
static bool is_number(const char *text)
{
    const char *whole = text + (*text == '-'), *end = digits(whole);
    if (end == whole || (*whole == '0' && end > whole + 1))
        return false;
    if (*end == '.') {
        const char *fraction = end + 1;
        end = digits(fraction);
        if (end == fraction)
            return false;
    }
    if (*end == 'e' || *end == 'E') {
        const char *exponent = end + 1 + (end[1] == '-' || end[1] == '+');
        end = digits(exponent);
        if (end == exponent)
            return false;
    }
    return !*end;
}

bool json_scalar(struct json *j, char *text, size_t size)
{
    skip_spaces(j);
    if (j->at < j->end && *j->at == '"')
        return json_string(j, text, size);
    size_t used = 0;
    while (j->at < j->end && *j->at && used + 1 < size && strchr("+-.0123456789eEaflnrstu", *j->at))
        text[used++] = (char)*j->at++;
    text[used] = 0;
    return is_word(text) || is_number(text) || fail_here(j, "no value");
}
