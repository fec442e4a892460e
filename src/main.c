#include <stdio.h>

int main(void)
{
    puts("mox");
    return 0;
}
