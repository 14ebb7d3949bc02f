#include "report/html_parts.h"

#include <stdbool.h>
#include <string.h>

static const char style[] =
    "body{font:15px/1.45 sans-serif;margin:0 auto;max-width:78rem;padding:1rem;color:#111;"
    "background:#fff}\n"
    "h1{font-size:1.6rem}h2{font-size:1.15rem;margin-top:2.2rem}\n"
    "nav ul{columns:3 18rem;padding-left:1.2rem}\n"
    ".wide{overflow-x:auto}\n"
    "table{border-collapse:collapse;font-size:.85rem}\n"
    "th,td{border-bottom:1px solid #ccc;padding:.25rem .6rem;text-align:left;white-space:nowrap}\n"
    "td.n{text-align:right;font-variant-numeric:tabular-nums}\n"
    "th button{font:inherit;font-weight:bold;border:0;background:none;cursor:pointer;padding:0}\n"
    "th[aria-sort=ascending] button::after{content:' \\2191'}\n"
    "th[aria-sort=descending] button::after{content:' \\2193'}\n"
    "svg{max-width:100%;height:auto}\n"
    "pre{background:#f4f4f4;padding:.6rem;overflow-x:auto;font-size:.8rem}\n"
    "dt{margin-top:.5rem}\n";

/* A click sorts by a column: by data-v where a cell has it, else by the text; again: the other way
 * round. */
static const char script[] =
    "document.querySelectorAll('table.sortable').forEach(function (table) {\n"
    "  table.querySelectorAll('th').forEach(function (th, column) {\n"
    "    th.addEventListener('click', function () {\n"
    "      var up = th.getAttribute('aria-sort') !== 'ascending';\n"
    "      var body = table.tBodies[0], rows = Array.prototype.slice.call(body.rows);\n"
    "      rows.sort(function (a, b) {\n"
    "        var x = a.cells[column], y = b.cells[column];\n"
    "        var p = x.dataset.v, q = y.dataset.v;\n"
    "        var d = p !== undefined && q !== undefined ? p - q :\n"
    "          p !== undefined ? -1 : q !== undefined ? 1 :\n"
    "          x.textContent.localeCompare(y.textContent);\n"
    "        return up ? d : -d;\n"
    "      });\n"
    "      table.querySelectorAll('th').forEach(function (t) { t.removeAttribute('aria-sort'); "
    "});\n"
    "      th.setAttribute('aria-sort', up ? 'ascending' : 'descending');\n"
    "      rows.forEach(function (row) { body.appendChild(row); });\n"
    "    });\n"
    "  });\n"
    "});\n";

/* Bytes of the character of XML that begins here; 0: none does. */
static int character_length(const unsigned char *c)
{
    int length = *c < 0x80 ? 1 : *c < 0xc2 ? 0 : *c < 0xe0 ? 2 : *c < 0xf0 ? 3 : *c < 0xf5 ? 4 : 0;
    if (*c < ' ' && *c != '\n' && *c != '\t')
        return 0;
    for (int i = 1; i < length; i++)
        if ((c[i] & 0xc0) != 0x80)
            return 0;
    bool wrong = (*c == 0xe0 && c[1] < 0xa0) || (*c == 0xed && c[1] > 0x9f) ||
                 (*c == 0xef && c[1] == 0xbf && c[2] > 0xbd) || (*c == 0xf0 && c[1] < 0x90) ||
                 (*c == 0xf4 && c[1] > 0x8f);
    return wrong ? 0 : length;
}

void html_text(FILE *f, const char *text)
{
    const unsigned char *c = (const unsigned char *)text;
    while (*c) {
        int length = character_length(c);
        if (*c == '&' || *c == '<' || *c == '>' || *c == '"')
            fputs(*c == '&' ? "&amp;" : *c == '<' ? "&lt;" : *c == '>' ? "&gt;" : "&quot;", f);
        else if (length)
            fwrite(c, 1, (size_t)length, f);
        else
            fputc('?', f);
        c += length ? length : 1;
    }
}

/* Does one of these begin here? A name follows it. */
static size_t before_name(const char *at)
{
    static const char *const marks[] = {" id='", " id=\"", "href='#", "href=\"#", "url(#"};
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        if (!strncmp(at, marks[i], strlen(marks[i])))
            return strlen(marks[i]);
    return 0;
}

/* A curve's name, which nothing refers to; panels of one figure have the same ones. */
static size_t curve_name(const char *at)
{
    static const char mark[] = " id=\"gnuplot_plot_";
    const char *end = strncmp(at, mark, strlen(mark)) ? NULL : strchr(at + strlen(mark), '"');
    return end ? (size_t)(end + 1 - at) : 0;
}

void html_svg(FILE *f, const char *svg, int number)
{
    const char *at = strstr(svg, "<svg");
    while (at && *at) {
        at += curve_name(at);
        size_t mark = before_name(at);
        if (mark)
            fprintf(f, "%.*sf%d-", (int)mark, at, number);
        else
            fputc(*at, f);
        at += mark ? mark : 1;
    }
}

void html_begin(FILE *f, const char *title)
{
    fputs("<!DOCTYPE html>\n<html xmlns=\"http://www.w3.org/1999/xhtml\" lang=\"en\">\n<head>\n"
          "<meta charset=\"utf-8\"/>\n"
          "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
          "'unsafe-inline'; script-src 'unsafe-inline'\"/>\n"
          "<meta name=\"viewport\" content=\"width=device-width\"/>\n<title>",
          f);
    html_text(f, title);
    fprintf(f, "</title>\n<style>\n%s</style>\n</head>\n<body>\n", style);
}

void html_end(FILE *f)
{
    fprintf(f, "<script>\n//<![CDATA[\n%s//]]>\n</script>\n</body>\n</html>\n", script);
}
