#include "base/json_writer.h"

#include <math.h>
#include <string.h>

/* Bytes of the UTF-8 character that begins here; 0 when none does (RFC 3629: no overlong form, no
 * surrogate, nothing above U+10FFFF). */
static int utf8_length(const unsigned char *c)
{
    const int length = *c < 0x80 ? 1 : *c < 0xc2 ? 0 : *c < 0xe0 ? 2 : *c < 0xf0 ? 3 : 4;
    for (int i = 1; i < length; i++)
        if ((c[i] & 0xc0) != 0x80)
            return 0;
    bool wrong = *c > 0xf4 || (*c == 0xe0 && c[1] < 0xa0) || (*c == 0xed && c[1] > 0x9f) ||
                 (*c == 0xf0 && c[1] < 0x90) || (*c == 0xf4 && c[1] > 0x8f);
    return wrong ? 0 : length;
}

static void write_text(FILE *f, const char *text)
{
    const unsigned char *c = (const unsigned char *)text;
    fputc('"', f);
    while (*c) {
        int length = utf8_length(c);
        if (*c == '"' || *c == '\\')
            fprintf(f, "\\%c", *c);
        else if (*c < ' ' || *c == 0x7f)
            fprintf(f, "\\u%04x", *c);
        else if (!length)
            fputs("\\ufffd", f);
        else
            fwrite(c, 1, (size_t)length, f);
        c += length ? length : 1;
    }
    fputc('"', f);
}

static int write_list(FILE *f, const struct json_field *fields, int written, const char *between);

static void write_value(FILE *f, const struct json_field *field)
{
    const bool real = field->type == JSON_TYPE_FIXED || field->type == JSON_TYPE_REAL;
    if ((real && !isfinite(field->real)) || (field->type == JSON_TYPE_TEXT && !field->text)) {
        fputs("null", f);
        return;
    }
    switch (field->type) {
    case JSON_END:
        break;
    case JSON_TYPE_TEXT:
        write_text(f, field->text);
        break;
    case JSON_TYPE_INT:
        fprintf(f, "%lld", (long long)field->integer);
        break;
    case JSON_TYPE_FIXED:
        fprintf(f, "%.6f", field->real);
        break;
    case JSON_TYPE_REAL:
        fprintf(f, "%.9g", field->real);
        break;
    case JSON_TYPE_BOOL:
        fputs(field->truth ? "true" : "false", f);
        break;
    case JSON_TYPE_OBJECT:
        fputc('{', f);
        write_list(f, field->object, 0, ", ");
        fputc('}', f);
        break;
    }
}

/* `written`: fields of the object that are there already. Returns how many are now. */
static int write_list(FILE *f, const struct json_field *fields, int written, const char *between)
{
    for (; fields && fields->type != JSON_END; fields++) {
        fputs(written++ ? between : "", f);
        write_text(f, fields->name);
        fputs(": ", f);
        write_value(f, fields);
    }
    return written;
}

void json_write(FILE *f, const struct json_field *fields, const struct json_field *more, bool lines)
{
    const char *between = lines ? ",\n  " : ", ";
    fputs(lines ? "{\n  " : "{", f);
    write_list(f, more, write_list(f, fields, 0, between), between);
    fputs(lines ? "\n}\n" : "}\n", f);
}
