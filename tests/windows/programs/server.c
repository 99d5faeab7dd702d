/* A server on standard input and output for Windows, with attacks by its arguments, each told on standard error.
 *   (none)                answer initialize and ping until the end of input
 *   --child               the same, beside a child that sleeps for ever; its process number comes first
 *   --handle N            is N, a handle of whoever started our launcher, one of ours?
 *   --read F, --write F   open a file
 *   --memory MB, --spawn  take memory, start a process
 *   --crash, --exit N     end
 *   --environment, --arguments, --directory   tell them, as UTF-8
 */
#include <windows.h>
#include <fcntl.h>
#include <io.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

static void say(const char *name, const wchar_t *text) {
    char buffer[65536];
    int size = WideCharToMultiByte(CP_UTF8, 0, text, -1, buffer, sizeof buffer, NULL, NULL);
    fprintf(stderr, "%s ", name);
    fwrite(buffer, 1, size > 0 ? size - 1 : 0, stderr);
    fputc('\n', stderr);
    fflush(stderr);
}

static void answer(const char *line) {
    const char *id = strstr(line, "\"id\":");
    int number = id ? atoi(id + 5) : 0;
    if (strstr(line, "\"initialize\""))
        printf("{\"jsonrpc\":\"2.0\",\"id\":%d,\"result\":{\"protocolVersion\":\"2025-11-25\",\"capabilities\":{},"
               "\"serverInfo\":{\"name\":\"windows-server\",\"version\":\"1\"}}}\n", number);
    else if (id)
        printf("{\"jsonrpc\":\"2.0\",\"id\":%d,\"result\":{}}\n", number);
    fflush(stdout);
}

static DWORD start(const wchar_t *arguments) {
    wchar_t self[MAX_PATH], line[1024];
    STARTUPINFOW startup = {sizeof startup};
    PROCESS_INFORMATION made;
    GetModuleFileNameW(NULL, self, MAX_PATH);
    _snwprintf(line, 1024, L"\"%ls\" %ls", self, arguments);
    if (!CreateProcessW(self, line, NULL, NULL, FALSE, 0, NULL, NULL, &startup, &made)) {
        fprintf(stderr, "start refused %lu\n", GetLastError());
        fflush(stderr);
        return 0;
    }
    return made.dwProcessId;
}

static void open_file(const char *name, const wchar_t *path, DWORD access, DWORD how) {
    HANDLE file = CreateFileW(path, access, 7, NULL, how, 0, NULL);
    fprintf(stderr, "%s %s %lu\n", name, file == INVALID_HANDLE_VALUE ? "refused" : "done", GetLastError());
    if (file != INVALID_HANDLE_VALUE) CloseHandle(file);
}

int wmain(int argc, wchar_t **argv) {
    char line[65536];
    int i;
    _setmode(0, _O_BINARY);
    _setmode(1, _O_BINARY);
    _setmode(2, _O_BINARY);
    for (i = 1; i < argc; i++) {
        const wchar_t *word = argv[i], *value = i + 1 < argc ? argv[i + 1] : L"";
        if (!wcscmp(word, L"--sleep")) Sleep(INFINITE);
        else if (!wcscmp(word, L"--child")) { fprintf(stderr, "child %lu\n", start(L"--sleep")); fflush(stderr); }
        else if (!wcscmp(word, L"--spawn")) { fprintf(stderr, "spawn %s\n", start(L"--exit 0") ? "done" : "refused"); fflush(stderr); }
        else if (!wcscmp(word, L"--handle")) {
            fprintf(stderr, "handle %s\n", GetFileType((HANDLE)(ULONG_PTR)_wtoi64(value)) == FILE_TYPE_DISK ? "ours" : "none");
            fflush(stderr); i++;
        }
        else if (!wcscmp(word, L"--read")) { open_file("read", value, GENERIC_READ, OPEN_EXISTING); i++; }
        else if (!wcscmp(word, L"--write")) { open_file("write", value, GENERIC_WRITE, OPEN_ALWAYS); i++; }
        else if (!wcscmp(word, L"--memory")) {
            SIZE_T size = (SIZE_T)_wtoi(value) << 20;
            char *memory = VirtualAlloc(NULL, size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
            if (memory) memset(memory, 1, size);
            fprintf(stderr, "memory %s\n", memory ? "done" : "refused"); fflush(stderr); i++;
        }
        else if (!wcscmp(word, L"--exit")) return _wtoi(value);
        else if (!wcscmp(word, L"--crash")) RaiseException(EXCEPTION_ACCESS_VIOLATION, EXCEPTION_NONCONTINUABLE, 0, NULL);
        else if (!wcscmp(word, L"--arguments")) { for (i++; i < argc; i++) say("argument", argv[i]); }
        else if (!wcscmp(word, L"--directory")) { wchar_t path[MAX_PATH]; GetCurrentDirectoryW(MAX_PATH, path); say("directory", path); }
        else if (!wcscmp(word, L"--environment")) {
            wchar_t *entry = GetEnvironmentStringsW();
            for (; *entry; entry += wcslen(entry) + 1) say("variable", entry);
        }
        else if (!wcscmp(word, L"--spin")) for (;;) { }
    }
    while (fgets(line, sizeof line, stdin)) answer(line);
    return 0;
}
