/* What each paper says its asynchronous scheme becomes in a special case: as
 * tests/test_special_cases.c, for asgd and its relatives. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/special_case.h"

static void ringmaster_without_an_end_is_asgd(void **state)
{
    (void)state;
    static const struct twin asgd = {"asgd", "slow=4=4 momentum=0.9 " DELAYS};
    assert_true(
        apart((struct twin){"ringmaster", "ringmaster-r=1000000 slow=4=4 momentum=0.9 " DELAYS},
              asgd, 4, 2) == 0);
    assert_true(apart((struct twin){"ringmaster", "ringmaster-r=4 slow=4=4 momentum=0.9 " DELAYS},
                      asgd, 4, 2) > rounding);
    assert_true(
        apart((struct twin){"ringmaster", "ringmaster-r=1000000 ringmaster-stops=yes slow=4=4 "
                                          "momentum=0.9 " DELAYS},
              asgd, 4, 2) == 0);
}

static void softsync_of_one_push_is_asgd(void **state)
{
    (void)state;
    assert_true(apart((struct twin){"asgd", "softsync=4 " DELAYS}, (struct twin){"asgd", DELAYS}, 4,
                      2) == 0);
    assert_true(apart((struct twin){"asgd", "softsync=2 " DELAYS}, (struct twin){"asgd", DELAYS}, 4,
                      2) > rounding);
}

static void an_inverse_rate_only_matters_when_stale(void **state)
{
    (void)state;
    assert_true(apart((struct twin){"asgd", "stale-lr=inverse"}, (struct twin){"asgd", ""}, 1, 2) ==
                0);
    assert_true(apart((struct twin){"asgd", "stale-lr=inverse"}, (struct twin){"asgd", ""}, 4, 2) >
                rounding);
}

static void malenia_at_one_speed_is_ssgd(void **state)
{
    (void)state;
    assert_true(apart((struct twin){"malenia", ""}, (struct twin){"ssgd", ""}, 4, 1) == 0);
    assert_true(apart((struct twin){"malenia", "momentum=0.9"},
                      (struct twin){"ssgd", "momentum=0.9"}, 4, 1) == 0);
}

static void asynclocal_alone_is_localsgd(void **state)
{
    (void)state;
    assert_true(apart((struct twin){"asynclocal", "local-steps=3 momentum=0.9"},
                      (struct twin){"localsgd", "local-steps=3 momentum=0.9"}, 1, 1) == 0);
    assert_true(apart((struct twin){"asynclocal", "local-steps=1 ringmaster-r=2 " DELAYS},
                      (struct twin){"ringmaster", "ringmaster-r=2 " DELAYS}, 4, 1) < rounding);
    assert_true(apart((struct twin){"asynclocal", "local-steps=3 ringmaster-r=1000000 " DELAYS},
                      (struct twin){"downpour", "n-push=3 n-fetch=3 " DELAYS}, 4, 1) < rounding);
}

static void delayed_nesterov_alone_is_diloco(void **state)
{
    (void)state;
    static const char outer[] = "local-steps=3 momentum=0.5 outer-lr=0.6 outer-momentum=0.8";
    static const char even[] = "local-steps=3 dylu=yes outer-momentum=0.5";
    assert_true(apart((struct twin){"dnesterov", outer}, (struct twin){"diloco", outer}, 1, 1) <
                rounding);
    assert_true(apart((struct twin){"dnesterov", even},
                      (struct twin){"dnesterov", "local-steps=3 outer-momentum=0.5"}, 4, 1) == 0);
}

static void rescaled_asgd_at_one_speed_is_asgd(void **state)
{
    (void)state;
    assert_true(
        apart((struct twin){"asgd", "stale-lr=rescaled"}, (struct twin){"asgd", ""}, 4, 2) == 0);
    assert_true(apart((struct twin){"asgd", "stale-lr=rescaled slow=4=4"},
                      (struct twin){"asgd", "slow=4=4"}, 4, 2) > rounding);
}

static void one_workers_momentum_is_the_servers(void **state)
{
    (void)state;
    static const char *const schemes_of[] = {"asgd", "ringmaster", "dcasgd"};
    for (int i = 0; i < 3; i++) {
        struct twin shared = {schemes_of[i], "momentum=0.9"},
                    own = {schemes_of[i], "momentum=0.9 server-momentum=worker"},
                    adam = {schemes_of[i], "optimizer=adam lr=0.001"},
                    adams = {schemes_of[i], "optimizer=adam lr=0.001 server-momentum=worker"};
        assert_true(apart(shared, own, 1, 2) == 0);
        assert_true(apart(shared, own, 4, 2) > rounding);
        assert_true(apart(adam, adams, 1, 2) == 0);
        assert_true(apart(adam, adams, 4, 2) > rounding);
    }
}

/* Without a copy of the weights as they were sent the term would be zero. */
static void dcasgd_without_strength_or_staleness_is_asgd(void **state)
{
    (void)state;
    assert_true(apart((struct twin){"dcasgd", "dc-lambda=0 " DELAYS}, (struct twin){"asgd", DELAYS},
                      4, 2) < rounding);
    assert_true(apart((struct twin){"dcasgd", "dc-lambda=0.04"}, (struct twin){"asgd", ""}, 1, 2) <
                rounding);
    assert_true(apart((struct twin){"dcasgd", "dc-lambda=0.04 " DELAYS},
                      (struct twin){"asgd", DELAYS}, 4, 2) > rounding);
    assert_true(apart((struct twin){"dcasgd", "dc=adaptive " DELAYS}, (struct twin){"asgd", DELAYS},
                      4, 2) > rounding);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ringmaster_without_an_end_is_asgd),
        cmocka_unit_test(softsync_of_one_push_is_asgd),
        cmocka_unit_test(an_inverse_rate_only_matters_when_stale),
        cmocka_unit_test(malenia_at_one_speed_is_ssgd),
        cmocka_unit_test(asynclocal_alone_is_localsgd),
        cmocka_unit_test(delayed_nesterov_alone_is_diloco),
        cmocka_unit_test(rescaled_asgd_at_one_speed_is_asgd),
        cmocka_unit_test(one_workers_momentum_is_the_servers),
        cmocka_unit_test(dcasgd_without_strength_or_staleness_is_asgd),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
