#include "base/text.h"

#include <stdbool.h>
#include <string.h>

enum { MARGIN = 13, WIDTH = 79, LONGEST = 400 };

void text_member(FILE *to, const char *name, const char *line, const char *paper)
{
    char words[LONGEST], *save = NULL;
    size_t column = (size_t)fprintf(to, "  %-10s", name);
    if (column >= MARGIN) /* a long name has a line of its own */
        column = (size_t)fprintf(to, "\n%*s", MARGIN - 1, "") - 1;
    snprintf(words, sizeof words, paper ? "%s (%s)" : "%s", line, paper);
    for (char *word = strtok_r(words, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
        bool fits = column + 1 + strlen(word) < WIDTH;
        fprintf(to, "%s%*s%s", fits ? "" : "\n", fits ? 1 : MARGIN, "", word);
        column = (fits ? column + 1 : MARGIN) + strlen(word);
    }
    putc('\n', to);
}

char *text_number(char text[TEXT_NUMBER], int64_t number)
{
    char digits[24];
    int length = snprintf(digits, sizeof digits, "%lld", (long long)number);
    char *end = text;
    for (int i = 0; i < length; i++) {
        *end++ = digits[i];
        if (digits[i] != '-' && (length - 1 - i) % 3 == 0 && i < length - 1)
            *end++ = ',';
    }
    *end = 0;
    return text;
}

size_t text_whole(const char *text, size_t most)
{
    size_t length = strnlen(text, most), first = length;
    while (first > 0 && length - first < 3 && ((unsigned char)text[first - 1] & 0xc0) == 0x80)
        first--;
    if (!first)
        return length;
    unsigned char lead = (unsigned char)text[--first];
    size_t needed = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
    return length - first < needed ? first : length;
}
