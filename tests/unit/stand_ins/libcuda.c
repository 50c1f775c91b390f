/* A stand-in for CUDA's driver library, for tests: GPUs are pieces of this process's memory.
 *
 * Environment (STAND_IN_...):
 *   GPUS     PCI addresses, separated by commas; without it cuInit says "no device", and so it does where
 *            CUDA_VISIBLE_DEVICES is there and empty
 *   CORRUPT  "FROM>TO": copies that way change one byte
 *   BESIDE   "FROM>TO": copies that way change one byte behind the place as well
 *   LOST     "FROM>TO": copies that way never arrive, and no error tells
 *   FAIL     "FUNCTION=RESULT[@N]": a function returns that result, from its Nth call on
 *   HANG     a function that never returns
 *   CRASH    a function that ends the process
 *   APART    "FROM>TO": CUDA says that FROM does not reach TO
 *   REST     a file that gets the number of what is allocated, retained and enabled, each time that a context is
 *            given back
 */
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MOST 16

typedef struct { unsigned char *start; size_t size; int device; } block;

static char names[MOST][32];
static int devices, contexts[MOST], enabled[MOST][MOST], current = -1;
static block blocks[MOST];

static int enter(const char *function)
{
    static struct { char name[64]; int calls; } seen[32];
    const char *hang = getenv("STAND_IN_HANG"), *crash = getenv("STAND_IN_CRASH"), *fail = getenv("STAND_IN_FAIL");
    int place = 0;
    while (seen[place].name[0] && strcmp(seen[place].name, function)) place++;
    strcpy(seen[place].name, function);
    seen[place].calls++;
    while (hang && !strcmp(hang, function)) pause();
    if (crash && !strcmp(crash, function)) {
        /* Without the report that a test runner would print. */
        signal(SIGSEGV, SIG_DFL);
        raise(SIGSEGV);
    }
    if (fail && !strncmp(fail, function, strlen(function)) && fail[strlen(function)] == '=') {
        const char *from = strchr(fail, '@');
        if (!from || seen[place].calls >= atoi(from + 1)) return atoi(fail + strlen(function) + 1);
    }
    return 0;
}

#define ENTER int failed = enter(__func__); if (failed) return failed

static int asked(const char *variable, int from, int to)
{
    char way[80];
    const char *wish = getenv(variable);
    snprintf(way, sizeof way, "%s>%s", names[from], names[to]);
    return wish && !strcmp(wish, way);
}

static block *block_of(unsigned long long address)
{
    for (int place = 0; place < MOST; place++)
        if (blocks[place].start && address >= (size_t)blocks[place].start
            && address < (size_t)blocks[place].start + blocks[place].size) return &blocks[place];
    return NULL;
}

int cuInit(unsigned flags)
{
    ENTER;
    const char *given = getenv("STAND_IN_GPUS");
    char text[512];
    const char *visible = getenv("CUDA_VISIBLE_DEVICES");
    (void)flags;
    if (!given || (visible && !*visible)) return 100;
    snprintf(text, sizeof text, "%s", given);
    for (char *name = strtok(text, ","); name && devices < MOST; name = strtok(NULL, ","))
        snprintf(names[devices++], sizeof names[0], "%s", name);
    return 0;
}

int cuDeviceGetCount(int *count) { ENTER; *count = devices; return 0; }

int cuDeviceGetByPCIBusId(int *device, const char *address)
{
    ENTER;
    for (*device = 0; *device < devices; ++*device)
        if (!strcmp(names[*device], address)) return 0;
    return 101;
}

int cuDeviceCanAccessPeer(int *can, int device, int peer)
{
    ENTER;
    *can = device != peer && !asked("STAND_IN_APART", device, peer);
    return 0;
}

int cuDevicePrimaryCtxRetain(void **context, int device)
{
    ENTER;
    contexts[device]++;
    *context = (void *)(size_t)(device + 1);
    return 0;
}

static void tell_rest(void)
{
    const char *file = getenv("STAND_IN_REST");
    int rest = 0;
    for (int one = 0; one < MOST; one++) {
        rest += contexts[one] + (blocks[one].start != NULL);
        for (int other = 0; other < MOST; other++) rest += enabled[one][other];
    }
    if (!file) return;
    FILE *out = fopen(file, "w");
    fprintf(out, "%d", rest);
    fclose(out);
}

int cuDevicePrimaryCtxRelease_v2(int device) { ENTER; contexts[device]--; tell_rest(); return 0; }

int cuCtxSetCurrent(void *context) { ENTER; current = (int)(size_t)context - 1; return 0; }

int cuCtxSynchronize(void) { ENTER; return current < 0 ? 201 : 0; }

int cuCtxEnablePeerAccess(void *peer, unsigned flags)
{
    ENTER;
    (void)flags;
    if (enabled[current][(size_t)peer - 1]) return 704;
    enabled[current][(size_t)peer - 1] = 1;
    return 0;
}

int cuCtxDisablePeerAccess(void *peer)
{
    ENTER;
    if (!enabled[current][(size_t)peer - 1]) return 705;
    enabled[current][(size_t)peer - 1] = 0;
    return 0;
}

int cuMemAlloc_v2(unsigned long long *address, size_t size)
{
    ENTER;
    int place = 0;
    while (blocks[place].start) place++;
    blocks[place] = (block){malloc(size), size, current};
    *address = (size_t)blocks[place].start;
    return 0;
}

int cuMemFree_v2(unsigned long long address)
{
    ENTER;
    block *found = block_of(address);
    if (!found || found->device != current) return 1;
    free(found->start);
    found->start = NULL;
    return 0;
}

/* A context uses memory of its own, and that of others only where that was enabled. */
static int outside(unsigned long long address, size_t size, int context)
{
    block *found = block_of(address);
    if (!found || address + size > (size_t)found->start + found->size) return 1;
    return found->device != context && !enabled[context][found->device] ? 700 : 0;
}

int cuMemsetD8_v2(unsigned long long address, unsigned char byte, size_t size)
{
    ENTER;
    if (outside(address, size, current)) return outside(address, size, current);
    memset((void *)(size_t)address, byte, size);
    return 0;
}

int cuMemcpyHtoD_v2(unsigned long long address, const void *data, size_t size)
{
    ENTER;
    if (outside(address, size, current)) return outside(address, size, current);
    memcpy((void *)(size_t)address, data, size);
    return 0;
}

int cuMemcpyDtoH_v2(void *data, unsigned long long address, size_t size)
{
    ENTER;
    if (outside(address, size, current)) return outside(address, size, current);
    memcpy(data, (void *)(size_t)address, size);
    return 0;
}

static int transfer(unsigned long long to, unsigned long long from, size_t size, int context)
{
    if (outside(to, size, context)) return outside(to, size, context);
    if (outside(from, size, context)) return outside(from, size, context);
    block *target = block_of(to), *source = block_of(from);
    if (asked("STAND_IN_LOST", source->device, target->device)) return 0;
    memcpy((void *)(size_t)to, (void *)(size_t)from, size);
    if (asked("STAND_IN_CORRUPT", source->device, target->device))
        ((unsigned char *)(size_t)to)[size / 2] ^= 1;
    if (asked("STAND_IN_BESIDE", source->device, target->device)
        && to + size < (size_t)target->start + target->size)
        ((unsigned char *)(size_t)to)[size] ^= 1;
    return 0;
}

int cuMemcpyDtoD_v2(unsigned long long to, unsigned long long from, size_t size)
{
    ENTER;
    return transfer(to, from, size, current);
}

#ifndef LACKS_PEER
int cuMemcpyPeer(unsigned long long to, void *target, unsigned long long from, void *source, size_t size)
{
    ENTER;
    if (block_of(to)->device != (int)(size_t)target - 1 || block_of(from)->device != (int)(size_t)source - 1) return 201;
    return transfer(to, from, size, (int)(size_t)source - 1);
}
#endif
