/*
 * What each role may ask of the kernel, in one table (see os/sandbox.h). The containment test is
 * generated from it.
 */
#pragma once

#include "ipc/role.h"
#include "os/sandbox.h"

const struct sandbox_profile *role_profile(enum role role);
/* For commands: of a process that works on a database whose files others open for it; and makes files in a directory. */
const struct sandbox_profile *database_profile(bool makes_files);
