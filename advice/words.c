/* An advice to read: the table, the reasons, what the study says of the method, the verdict. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "advice/private.h"

static const double counts = 0.01; /* a share of the time that is worth a word */
static const double coarse = 0.3;  /* of the samples to the threshold, between evaluations */
enum { TEXT = 60, ROOM = 700 };

/* Places of shares in report/source.h's order. */
enum { USEFUL, ABORTED, DROPPED, DELAYED, VECTOR_WORK, TRANSFER, WAITING };

static const struct estimate *of(const struct advice *a, int setting)
{
    return &estimates_at(a, 0)[setting];
}

static const struct simulated *simulated_of(const struct advice *a, int setting)
{
    return simulated_at(a, 0, setting, of(a, setting)->from);
}

static const struct evidence *evidence_of(const struct advice *a, int setting)
{
    return &a->evidence[cell_at(a, setting, of(a, setting)->from)];
}

/* "12.3", three digits at least; "never" */
static const char *number(char text[TEXT], double value)
{
    if (isinf(value))
        snprintf(text, TEXT, "never");
    else if (isnan(value))
        snprintf(text, TEXT, "-");
    else
        snprintf(text, TEXT, "%.*f", value >= 100 ? 0 : value >= 10 ? 1 : 2, value);
    return text;
}

/* "12.3 [10.1, never]" */
static const char *with_interval(char text[3 * TEXT], double value, double low, double high)
{
    char middle[TEXT], from[TEXT], to[TEXT];
    snprintf(text, (size_t)3 * TEXT, "%s [%s, %s]", number(middle, value), number(from, low),
             number(to, high));
    return text;
}

/* --- the table --- */

/* Settings by their times; those without an estimate last. */
static void order(const struct advice *a, int *list)
{
    for (int i = 0; i < a->settings; i++) {
        int at = i;
        double seconds = of(a, i)->seconds;
        for (; at > 0; at--) {
            double before = of(a, list[at - 1])->seconds;
            if (isnan(seconds) || before <= seconds)
                break;
            list[at] = list[at - 1];
        }
        list[at] = i;
    }
}

static void print_row(const struct advice *a, int setting, int width)
{
    char samples[3 * TEXT], seconds[3 * TEXT], ratio[TEXT];
    const struct estimate *e = of(a, setting);
    if (e->from < 0) {
        printf("%-*s  (not known, see below)\n", width, setting_name(a, setting));
        return;
    }
    const struct evidence *seen = evidence_of(a, setting);
    const struct pace *pace = &simulated_of(a, setting)->pace;
    printf("%-*s  %-12.12s %9.0f  %6.1f (%.1f) %7.1f (%.1f)  %-25s  %-23s  %s\n", width,
           setting_name(a, setting), case_name(a, e->from), pace->images_per_s, pace->staleness,
           seen->staleness, pace->minibatches, seen->minibatches,
           with_interval(samples, seen->samples, seen->interval.low, seen->interval.high),
           with_interval(seconds, e->seconds, e->low, e->high),
           isfinite(e->seconds) ? number(ratio, of(a, a->baseline)->seconds / e->seconds) : "-");
}

static void print_table(const struct advice *a)
{
    int list[a->settings], width = (int)strlen("setting");
    char ratio[ADVICE_WHY];
    for (int k = 0; k < a->settings; k++) {
        int length = (int)strlen(setting_name(a, k));
        width = length > width ? length : width;
    }
    snprintf(ratio, sizeof ratio, "%s / it", setting_name(a, a->baseline));
    printf("Seconds to %.4g %%: samples that the study's runs took, by samples a second that are "
           "simulated on %s.\nIn parentheses: as the study's runs had it.\n\n",
           a->target, a->request->machine);
    printf("%-*s  %-12s %9s  %12s %14s  %-25s  %-23s  %s\n", width, "setting", "as in case",
           "images/s", "staleness", "mini-batches", "samples", "seconds", ratio);
    order(a, list);
    for (int i = 0; i < a->settings; i++)
        print_row(a, list[i], width);
    putchar('\n');
}

/* --- why --- */

static void add(char text[ROOM], const char *format, double value)
{
    size_t used = strlen(text);
    snprintf(text + used, ROOM - used, *text ? ", " : "");
    used = strlen(text);
    snprintf(text + used, ROOM - used, format, value);
}

/* What its workers do with their time, in words. */
static void time_words(const struct simulated *s, char text[ROOM])
{
    *text = '\0';
    add(text, "compute %.0f %% of the time", 100 * s->share[USEFUL]);
    if (s->share[WAITING] >= counts)
        add(text, "wait %.0f %%", 100 * s->share[WAITING]);
    if (s->share[TRANSFER] >= counts)
        add(text, "transfer %.0f %%", 100 * s->share[TRANSFER]);
    if (s->share[DELAYED] >= counts)
        add(text, "are held up %.0f %%", 100 * s->share[DELAYED]);
    if (s->share[ABORTED] + s->share[DROPPED] >= counts)
        add(text, "compute in vain %.0f %%", 100 * (s->share[ABORTED] + s->share[DROPPED]));
}

static void print_setting(const struct advice *a, int setting)
{
    char text[ROOM], samples[TEXT];
    const struct simulated *s = simulated_of(a, setting);
    const struct evidence *seen = evidence_of(a, setting);
    time_words(s, text);
    printf("%s: its workers %s: %.0f images/s. ", setting_name(a, setting), text,
           s->pace.images_per_s);
    if (isfinite(seen->samples))
        printf("To %.4g %% it took %s samples in the study", a->target,
               number(samples, seen->samples));
    else
        printf("To %.4g %% it did not get in the study", a->target);
    printf(" (%d of %d runs of case %s got there).\n", seen->reached, seen->runs,
           case_name(a, of(a, setting)->from));
}

/* What the soonest gains over the baseline, and what that costs. */
static void print_exchange(const struct advice *a, int setting)
{
    char pays[ROOM] = "";
    const struct simulated *s = simulated_of(a, setting), *base = simulated_of(a, a->baseline);
    const struct evidence *seen = evidence_of(a, setting), *is = evidence_of(a, a->baseline);
    double faster = s->pace.images_per_s / base->pace.images_per_s,
           needs = seen->samples / is->samples;
    if (s->pace.staleness > base->pace.staleness + 0.05)
        add(pays, "gradients are %.1f updates old", s->pace.staleness);
    if (fabs(log(s->pace.minibatches / base->pace.minibatches)) > counts)
        add(pays, "an update has %.1f mini-batches", s->pace.minibatches);
    if (fabs(log(s->pace.minibatches / base->pace.minibatches)) > counts)
        add(pays, "not %.1f", base->pace.minibatches);
    if (s->share[ABORTED] + s->share[DROPPED] >= counts)
        add(pays, "%.0f %% of the workers' time is thrown away",
            100 * (s->share[ABORTED] + s->share[DROPPED]));
    printf("%s beside %s: %.2f times the images a second%s%s; ", setting_name(a, setting),
           setting_name(a, a->baseline), faster, *pays ? "; for that " : "", pays);
    if (isinf(is->samples))
        printf("%s did not get there in the study as often as not.\n",
               setting_name(a, a->baseline));
    else
        printf("%.2f times the samples. %.2f / %.2f: %.2f times as soon.\n", needs, faster, needs,
               faster / needs);
}

static void print_reasons(const struct advice *a)
{
    if (a->verdict.first < 0)
        return;
    print_setting(a, a->baseline);
    if (a->verdict.first == a->baseline)
        return;
    print_setting(a, a->verdict.first);
    print_exchange(a, a->verdict.first);
    putchar('\n');
}

/* --- the check --- */

static int soonest(const struct advice *a, int c, bool measured)
{
    int first = -1;
    double least = INFINITY;
    for (int k = 0; k < a->settings; k++) {
        const struct estimate *e = &estimates_at(a, 1 + c)[k];
        const struct evidence *is = &a->evidence[cell_at(a, k, c)];
        double seconds = measured ? is->seconds : e->seconds;
        if (e->from >= 0 && (measured || e->distance <= estimate_far) && is->runs &&
            seconds < least) {
            least = seconds;
            first = k;
        }
    }
    return first;
}

static const char *took(char text[TEXT + 20], const struct advice *a, int setting, int c)
{
    char seconds[TEXT];
    double is = a->evidence[cell_at(a, setting, c)].seconds;
    snprintf(text, TEXT + 20, isfinite(is) ? "took %s s" : "did not get there",
             number(seconds, is));
    return text;
}

/* A case that was left out: the first as predicted, and in truth. */
static bool print_left_out(const struct advice *a, int c)
{
    char seconds[TEXT], text[TEXT + 20];
    int predicted = soonest(a, c, false), first = soonest(a, c, true);
    if (predicted < 0 || first < 0)
        return false;
    printf("  %s: %s is predicted first, in %s s; it %s", case_name(a, c),
           setting_name(a, predicted), number(seconds, estimates_at(a, 1 + c)[predicted].seconds),
           took(text, a, predicted, c));
    if (first == predicted)
        printf(" and was first");
    else
        printf("; first was %s, which %s", setting_name(a, first), took(text, a, first, c));
    printf("; %s %s.\n", setting_name(a, a->baseline), took(text, a, a->baseline, c));
    return first == predicted;
}

static void print_errors(const struct advice *a, const char *what, const struct errors *e)
{
    if (!e->count)
        return;
    printf("%s: off by a factor of %.2f in the median, nine of ten within %.2f, at worst %.2f (%s "
           "in %s); predictions: %d.\n",
           what, e->median, e->most, e->worst, setting_name(a, e->at % a->settings),
           case_name(a, e->at / a->settings), e->count);
}

/* Did what was predicted first take as long as the first, but for the median error of seconds? */
static bool is_as_soon(const struct advice *a, int c)
{
    int predicted = soonest(a, c, false), first = soonest(a, c, true);
    return predicted >= 0 && first >= 0 &&
           a->evidence[cell_at(a, predicted, c)].seconds <=
               a->evidence[cell_at(a, first, c)].seconds * a->seconds_off.median;
}

static void print_check(const struct advice *a)
{
    int right = 0, as_soon = 0, cases = 0;
    if (!a->seconds_off.count) {
        printf("How far off: not known. %s\n\n",
               a->cases < 2 ? "The study has no second case from which one could be predicted."
                            : "No setting got there in two cases that are near to each other.");
        return;
    }
    puts("How far off: each case of the study left out, and predicted from the others.");
    print_errors(a, "Seconds", &a->seconds_off);
    print_errors(a, "Ratios to the baseline", &a->ratios_off);
    print_errors(a, "Seconds of settings far from what the other cases show", &a->far_off);
    if (a->missed)
        printf("Wrong altogether: %d (a time that was predicted, and the runs went on past it "
               "without getting there; or never, and they did).\n",
               a->missed);
    if (a->agrees)
        printf("Right that the runs end before they get there: %d.\n", a->agrees);
    for (int c = 0; c < a->cases; c++) {
        cases += soonest(a, c, true) >= 0 && soonest(a, c, false) >= 0;
        right += print_left_out(a, c);
        as_soon += is_as_soon(a, c);
    }
    printf("The first was right in %d of %d cases, and as soon as the first within the median "
           "error in %d.\n\n",
           right, cases, as_soon);
}

/* --- warnings --- */

static void warn_of_far(const struct advice *a, int setting)
{
    const struct pace *here = &simulated_of(a, setting)->pace;
    const struct evidence *seen = evidence_of(a, setting);
    printf("WARNING: %s is far from what the study saw: staleness %.1f, %.1f mini-batches an "
           "update, and of one worker's data %.2f times their part used here; %.1f, %.1f and %.2f "
           "in the nearest case, %s.\n",
           setting_name(a, setting), here->staleness, here->minibatches, here->least_use,
           seen->staleness, seen->minibatches, seen->least_use, case_name(a, of(a, setting)->from));
}

/* A crossing is known no better than evaluations are apart. */
static void warn_of_gap(const struct advice *a, int setting)
{
    double gap = setting < 0 || of(a, setting)->from < 0 ? 0 : evidence_of(a, setting)->gap;
    if (gap > coarse)
        printf("WARNING: two evaluations of %s in the study are %.0f %% of its samples to %.4g %% "
               "apart: when it got there is a guess; take a higher --target.\n",
               setting_name(a, setting), 100 * gap, a->target);
}

static void warn_of_setting(const struct advice *a, int setting, bool *workers, bool *network)
{
    const struct estimate *e = of(a, setting);
    char text[40];
    if (e->from < 0)
        return;
    const struct simulated *s = simulated_of(a, setting);
    const char *head = a->run[cell_at(a, setting, e->from)]->head;
    double floats = strtod(head_value(head, "parameters", text, sizeof text), NULL);
    if (!*network && s->parameters != floats) {
        printf("WARNING: ANOTHER NETWORK: %s of %.0f weights here, of %.0f in the study. Samples "
               "to the threshold are those of the study's network: the times are not this one's.\n",
               s->network, s->parameters, floats);
        *network = true;
    }
    double seen = strtod(head_value(head, "workers", text, sizeof text), NULL);
    if (!*workers && s->workers != seen) {
        printf("WARNING: %.0f workers here, %.0f in the study: how many samples so many take was "
               "not seen.\n",
               s->workers, seen);
        *workers = true;
    }
    if (e->distance > estimate_far)
        warn_of_far(a, setting);
}

/* Options that could not be simulated on the machine, each reason once. */
static void warn_of_failures(const struct advice *a)
{
    int all = a->settings * a->cases;
    for (int i = 0; i < all; i++) {
        const char *why = a->simulated[i].why;
        bool said = !*why;
        for (int k = 0; k < i && !said; k++)
            said = !strcmp(why, a->simulated[k].why);
        if (said)
            continue;
        printf("WARNING: left out:");
        for (int k = i; k < all; k++)
            if (!strcmp(why, a->simulated[k].why))
                printf("%s %s in %s", k > i ? "," : "", setting_name(a, k / a->cases),
                       case_name(a, k % a->cases));
        printf(": %s\n", why);
    }
}

static void print_warnings(const struct advice *a)
{
    bool workers = false, network = false;
    warn_of_failures(a);
    warn_of_gap(a, a->baseline);
    if (a->verdict.first != a->baseline)
        warn_of_gap(a, a->verdict.first);
    for (int k = 0; k < a->settings; k++)
        warn_of_setting(a, k, &workers, &network);
}

/* --- the verdict --- */

/* Those that would be sooner still, if they learned as in a case that is unlike this. */
static void print_far(const struct advice *a)
{
    const struct verdict *v = &a->verdict;
    for (int k = 0; k < a->settings; k++)
        if (of(a, k)->from >= 0 && of(a, k)->distance > estimate_far &&
            of(a, k)->seconds < of(a, v->first)->seconds)
            printf("%s is predicted sooner still, but it is far from what the study saw: a case "
                   "like this one in the study would tell.\n",
                   setting_name(a, k));
}

/* Whose times the check does not tell from the first's. */
static void print_equals(const struct advice *a)
{
    const struct verdict *v = &a->verdict;
    const char *before = "Not told apart from it: ";
    for (int k = 0; k < a->settings; k++) {
        const struct estimate *e = of(a, k), *first = of(a, v->first);
        double allowed = fmax(isnan(a->allowed[k]) ? 1 : a->allowed[k], a->allowed[v->first]);
        if (k == v->first || k == a->baseline || e->from < 0 || !isfinite(e->seconds) ||
            (e->low > first->high && e->seconds > first->seconds * allowed))
            continue;
        printf("%s%s", before, setting_name(a, k));
        before = ", ";
    }
    if (*before == ',')
        puts(".");
}

static void print_verdict(const struct advice *a)
{
    const struct verdict *v = &a->verdict;
    const char *base = setting_name(a, a->baseline);
    if (v->first < 0) {
        printf("Verdict: none: nobody is predicted to get to %.4g %%.\n", a->target);
        return;
    }
    const char *first = setting_name(a, v->first);
    char gain[TEXT + 20];
    snprintf(gain, sizeof gain, isinf(v->gain) ? "to get there, unlike it" : "%.2f times as soon",
             v->gain);
    if (v->kind == VERDICT_BASELINE)
        printf("Verdict: plain %s: nothing is predicted to be sooner.\n", base);
    else if (v->kind == VERDICT_OVERLAP)
        printf("Verdict: plain %s: nothing is shown to be sooner. %s is predicted %s, but their "
               "intervals meet.\n",
               base, first, gain);
    else if (v->kind == VERDICT_WITHIN)
        printf("Verdict: plain %s: nothing is shown to be sooner. %s is predicted %s, but in the "
               "check such a ratio of its was off by a factor of %.2f.\n",
               base, first, gain, a->allowed[v->first]);
    else
        printf("Verdict: take %s: it is predicted %s%s%s.\n", first, gain,
               isinf(v->gain) ? "" : " as ", isinf(v->gain) ? "" : base);
    if (v->kind == VERDICT_TAKE)
        print_equals(a);
    print_far(a);
    int setting = v->kind == VERDICT_TAKE ? v->first : a->baseline;
    if (of(a, setting)->from >= 0)
        printf("Its options: --config %s/options.ini\n",
               a->run[cell_at(a, setting, of(a, setting)->from)]->folder);
}

void advice_words_print(const struct advice *a)
{
    print_table(a);
    print_reasons(a);
    print_check(a);
    print_warnings(a);
    print_verdict(a);
}
