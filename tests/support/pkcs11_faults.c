// A PKCS#11 module that passes every call on to SoftHSM, and fails as a test tells it to.
//
// Environment, read when it is loaded:
//   S3SEAL_TEST_HSM_MODULE      the module behind
//   S3SEAL_TEST_HSM_FAULT_DIR   a folder. Every call of a watched function appends its name to `log`. A file with a
//                               function's name is an order: "ACTION ARGUMENT TIMES".
//
// Actions: `return CODE` (hex, without calling), `close` (all sessions with the token, then calls), `sleep MS` (then
// calls), `flags BITS` (hex; C_GetTokenInfo: calls, then adds flags).
//
// Watched functions are forwarded with eight integer arguments whatever they take: on the ABIs of Linux on x86-64 and
// aarch64 the callee ignores what is too much. Good enough for a test, and for nothing else.

#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef unsigned long ulong_t;
typedef ulong_t (*call_t)(ulong_t, ulong_t, ulong_t, ulong_t, ulong_t, ulong_t, ulong_t, ulong_t);

// CK_FUNCTION_LIST of version 2.40.
struct functions {
    unsigned char version[2];
    call_t call[68];
};

enum { CLOSE_ALL_SESSIONS = 14, GET_SESSION_INFO = 15, TOKEN_INFO_FLAGS = 96 };

static struct functions real, ours;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char folder[3000];

static void note(const char *name) {
    char path[4000], line[100];
    snprintf(path, sizeof path, "%s/log", folder);
    snprintf(line, sizeof line, "%s\n", name);
    int file = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (file < 0 || write(file, line, strlen(line)) < 0) abort();
    close(file);
}

// Takes one of the times of an order. Without one the action is empty.
static void take_order(const char *name, char action[20], ulong_t *argument) {
    char path[4000];
    int times = 0;
    action[0] = 0;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    pthread_mutex_lock(&lock);
    FILE *file = fopen(path, "r");
    if (file) {
        if (fscanf(file, "%19s %lx %d", action, argument, &times) != 3) abort();
        fclose(file);
        if (times <= 1) {
            unlink(path);
        } else {
            file = fopen(path, "w");
            fprintf(file, "%s %lx %d", action, *argument, times - 1);
            fclose(file);
        }
    }
    pthread_mutex_unlock(&lock);
}

static ulong_t watched(int index, const char *name, ulong_t a, ulong_t b, ulong_t c, ulong_t d, ulong_t e, ulong_t f,
                       ulong_t g, ulong_t h) {
    char action[20];
    ulong_t argument = 0;
    note(name);
    take_order(name, action, &argument);
    if (!strcmp(action, "return")) return argument;
    if (!strcmp(action, "sleep")) usleep(argument * 1000);
    if (!strcmp(action, "close")) {
        ulong_t info[4] = {0}; // CK_SESSION_INFO: the slot comes first
        real.call[GET_SESSION_INFO](a, (ulong_t)info, 0, 0, 0, 0, 0, 0);
        real.call[CLOSE_ALL_SESSIONS](info[0], 0, 0, 0, 0, 0, 0, 0);
    }
    ulong_t result = real.call[index](a, b, c, d, e, f, g, h);
    if (!strcmp(action, "flags")) *(ulong_t *)(b + TOKEN_INFO_FLAGS) |= argument;
    return result;
}

#define WATCHED(WATCH) \
    WATCH(6, C_GetTokenInfo) \
    WATCH(12, C_OpenSession) \
    WATCH(13, C_CloseSession) \
    WATCH(15, C_GetSessionInfo) \
    WATCH(18, C_Login) \
    WATCH(20, C_CreateObject) \
    WATCH(22, C_DestroyObject) \
    WATCH(24, C_GetAttributeValue) \
    WATCH(26, C_FindObjectsInit) \
    WATCH(60, C_WrapKey) \
    WATCH(61, C_UnwrapKey)

#define DEFINE(index, name) \
    static ulong_t watched_##name(ulong_t a, ulong_t b, ulong_t c, ulong_t d, ulong_t e, ulong_t f, ulong_t g, \
                                  ulong_t h) { \
        return watched(index, #name, a, b, c, d, e, f, g, h); \
    }
WATCHED(DEFINE)

#define REPLACE(index, name) ours.call[index] = watched_##name;

ulong_t C_GetFunctionList(struct functions **list) {
    static int is_loaded;
    pthread_mutex_lock(&lock);
    if (!is_loaded) {
        snprintf(folder, sizeof folder, "%s", getenv("S3SEAL_TEST_HSM_FAULT_DIR"));
        void *module = dlopen(getenv("S3SEAL_TEST_HSM_MODULE"), RTLD_NOW | RTLD_LOCAL);
        if (!module) abort();
        ulong_t (*get)(struct functions **) = (ulong_t(*)(struct functions **))dlsym(module, "C_GetFunctionList");
        struct functions *found;
        if (get(&found)) abort();
        real = ours = *found;
        WATCHED(REPLACE)
        is_loaded = 1;
    }
    pthread_mutex_unlock(&lock);
    *list = &ours;
    return 0;
}
