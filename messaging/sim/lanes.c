/* Lanes of the simulated world: found by receiver, sender and tag, in O(1).
 *
 * Cost: memory for the lanes that are in use, at most four times, not for all pairs of ranks that
 * ever spoke: whoever signals first signals to everybody. */
#include "base/alloc.h"
#include "messaging/sim/sim.h"

/* Where the lane with this key is in the table, or the empty place where it belongs. */
static size_t lane_slot(const struct sim *sim, uint64_t key)
{
    size_t at = (key * 0x9E3779B97F4A7C15u) >> 32;
    for (at &= sim->lane_room - 1; sim->lanes[at].lane && sim->lanes[at].key != key;
         at = (at + 1) & (sim->lane_room - 1))
        ;
    return at;
}

static void drop_lane(struct sim *sim, struct lane *lane)
{
    lane->any->users -= lane->any != lane;
    list_append(&sim->idle, &lane->idle);
    sim->lane_count--;
}

/* Drops the lanes without users: first those from one rank, then those from any, which the first
 * use. */
static void drop_idle_lanes(struct sim *sim)
{
    for (int any = 0; any < 2; any++)
        for (size_t i = 0; i < sim->lane_room; i++) {
            struct lane *lane = sim->lanes[i].lane;
            if (!lane || lane->users || (lane->any == lane) != any)
                continue;
            drop_lane(sim, lane);
            sim->lanes[i].lane = NULL;
        }
}

/* A table at most a quarter full with the lanes that are in use: so lanes take memory for what is
 * under way, not for all pairs of ranks that ever spoke. */
static void lanes_renew(struct sim *sim)
{
    struct lane_slot *old = sim->lanes;
    size_t room = sim->lane_room;
    drop_idle_lanes(sim);
    while (sim->lane_room < 64 || sim->lane_room < 4 * sim->lane_count)
        sim->lane_room = sim->lane_room ? 2 * sim->lane_room : 64;
    sim->lanes = xcalloc(sim->lane_room, sizeof *sim->lanes);
    for (size_t i = 0; i < room; i++)
        if (old[i].lane)
            sim->lanes[lane_slot(sim, old[i].key)] = old[i];
    xfree(old);
}

void sim_lanes_open(struct sim *sim)
{
    list_clear(&sim->idle);
    lanes_renew(sim);
}

void sim_lanes_close(struct sim *sim)
{
    xfree(sim->lanes);
}

static struct lane *lane_new(struct sim *sim)
{
    struct link *idle = sim->idle.prev;
    if (idle == &sim->idle)
        return slabs_take(&sim->slabs, sizeof(struct lane));
    struct lane *lane = container_of(struct lane, idle, idle);
    list_remove(idle);
    *lane = (struct lane){0};
    return lane;
}

struct lane *sim_lane(struct sim *sim, int to, int from, int tag)
{
    uint64_t key =
        ((uint64_t)to * ((uint64_t)sim->options.ranks + 1) + (uint64_t)(from + 1)) * NET_TAGS +
        (uint64_t)tag;
    struct lane *lane = sim->lanes[lane_slot(sim, key)].lane;
    if (lane)
        return lane;
    struct lane *any = from == NET_ANY ? NULL : sim_lane(sim, to, NET_ANY, tag);
    lane = lane_new(sim);
    lane->any = any ? any : lane;
    list_clear(&lane->idle);
    list_clear(&lane->posted);
    list_clear(&lane->messages);
    list_clear(&lane->under_way);
    if (any) {
        any->users++;
        lane->route = sim_route(sim, from, to);
    }
    if (2 * (sim->lane_count + 1) > sim->lane_room)
        lanes_renew(sim);
    sim->lane_count++;
    sim->lanes[lane_slot(sim, key)] = (struct lane_slot){key, lane};
    return lane;
}
