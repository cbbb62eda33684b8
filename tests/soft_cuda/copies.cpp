/* SPDX-License-Identifier: Apache-2.0 */
#include "machine.h"
#include "state.h"

/* Copies and other work beside the threads, and the barriers that count it. */

namespace soft
{

void do_engine_work()
{
    unsigned i = draw((unsigned)m.engine.size());
    std::function<void()> work = std::move(m.engine[i]);
    m.engine[i] = std::move(m.engine.back());
    m.engine.pop_back();
    work();
}

void start_copy(std::function<void()> copy)
{
    if (draw(2) == 0)
        copy();
    else
        m.self->copies.push_back(std::move(copy));
}

void commit_copies()
{
    m.self->committed.emplace_back(std::move(m.self->copies));
    m.self->copies.clear();
}

void wait_for_copies(unsigned groups)
{
    auto &committed = m.self->committed;
    while (committed.size() > groups) {
        for (auto &copy : committed.front())
            copy();
        committed.erase(committed.begin());
    }
}

void after_copies(std::function<void()> then)
{
    std::vector<std::function<void()>> all;
    for (auto &group : m.self->committed)
        for (auto &copy : group)
            all.push_back(std::move(copy));
    for (auto &copy : m.self->copies)
        all.push_back(std::move(copy));
    m.self->committed.clear();
    m.self->copies.clear();
    start_engine([all, then] {
        for (auto &copy : all)
            copy();
        then();
    });
}

void start_engine(std::function<void()> work)
{
    m.engine.push_back(std::move(work));
}

/* What mbarrier instructions keep in 8 bytes. */
namespace
{

struct mbarrier {
    int32_t bytes; /* still to come, those of later phases taken off */
    int16_t pending;
    uint16_t arrivals : 15, phase : 1;
};
static_assert(sizeof(mbarrier) == 8, "an mbarrier has 8 bytes");

mbarrier *mbarrier_at(char *place)
{
    mbarrier *b = reinterpret_cast<mbarrier *>(place);
    if (reinterpret_cast<uintptr_t>(place) % 8 != 0 || b->pending < 0 || b->arrivals == 0)
        fail("no mbarrier there");
    return b;
}

void end_phase(mbarrier *b)
{
    if (b->pending > 0 || b->bytes != 0)
        return;
    b->phase ^= 1;
    b->pending = (int16_t)b->arrivals;
    has_changed(b);
}

} // namespace

void mbarrier_start(char *place, int arrivals)
{
    mbarrier *b = reinterpret_cast<mbarrier *>(place);
    *b = {0, (int16_t)arrivals, (uint16_t)arrivals, 0};
    mbarrier_at(place);
}

void mbarrier_arrive(char *place)
{
    mbarrier *b = mbarrier_at(place);
    if (b->pending == 0)
        fail("more arrivals at an mbarrier than a phase has");
    b->pending--;
    end_phase(b);
}

void mbarrier_expect(char *place, int bytes)
{
    mbarrier_at(place)->bytes += bytes;
}

void mbarrier_complete(char *place, int bytes)
{
    mbarrier *b = mbarrier_at(place);
    b->bytes -= bytes;
    end_phase(b);
}

void mbarrier_wait(char *place, int parity)
{
    while (mbarrier_at(place)->phase == parity)
        wait_for_change(place);
}

} // namespace soft
