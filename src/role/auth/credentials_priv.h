/* The database behind credentials.h, for its files. */
#pragma once

#include "db/db.h"
#include "role/auth/credentials.h"

struct credentials {
    struct db *db;
};
