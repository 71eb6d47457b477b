/* Is there a second copy of the library in the process?

   Each copy carries a note, and the notes of all loaded objects can be read (dl_iterate_phdr(3)): so neither global symbols
   nor the environment are needed, and copies that hide everything see each other.

   SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include <elf.h>
#include <link.h>
#include <string.h>
#include <unistd.h>

#include "os/os.h"

static const struct {
    uint32_t name_size, text_size, type;
    char name[8], text[8];
} note __attribute__((section(".note.spool"), aligned(4), used)) = { sizeof "spool", 8, 1, "spool", "one copy" };

struct search {
    unsigned found;
    const char *names[2]; /* of the first two objects that have a note */
};

static size_t padded(size_t size, size_t alignment)
{
    return (size + alignment - 1) / alignment * alignment;
}

static bool has_our_note(const char *at, size_t size, size_t alignment)
{
    const ElfW(Nhdr) * header;
    for (const char *end = at + size; (size_t)(end - at) >= sizeof *header;) {
        header = (const void *)at;
        size_t name_size = padded(header->n_namesz, alignment), text_size = padded(header->n_descsz, alignment);
        at += sizeof *header;
        if ((size_t)(end - at) < name_size || (size_t)(end - at) - name_size < text_size)
            return false;
        if (header->n_namesz == note.name_size && memcmp(at, note.name, note.name_size) == 0)
            return true;
        at += name_size + text_size;
    }
    return false;
}

static int look_into(struct dl_phdr_info *object, size_t size, void *context)
{
    struct search *search = context;
    (void)size;
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
        if (segment->p_type != PT_NOTE)
            continue;
        const char *begin = (const char *)(object->dlpi_addr + segment->p_vaddr);
        if (!has_our_note(begin, segment->p_memsz, segment->p_align == 8 ? 8 : 4))
            continue;
        if (search->found < 2)
            search->names[search->found] = object->dlpi_name[0] != '\0' ? object->dlpi_name : "the program";
        search->found++;
        break;
    }
    return 0;
}

void sp__os_refuse_copies(void)
{
    struct search search = { .found = 0 };
    dl_iterate_phdr(look_into, &search);
    if (search.found > 1)
        sp__panic("two copies of the library in one process, in %s and in %s: link the shared library everywhere",
                  search.names[0], search.names[1]);
}
