// Makes a file with the real bbolt, as a test vector: index.db beside this file.
//
// What goes into it comes from test/system/upstream_writer.py as lines on standard input: "bucket", the path's
// parts in hex; or "put", the path's parts, and the value. A part of the keys is put, deleted and put
// again in several transactions, so that the file has free pages and a history.
package main

import (
	"bufio"
	"encoding/hex"
	"os"
	"strings"

	bolt "go.etcd.io/bbolt"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func parts(words []string) [][]byte {
	var out [][]byte
	for _, w := range words {
		b, err := hex.DecodeString(strings.TrimPrefix(w, "x"))
		check(err)
		out = append(out, b)
	}
	return out
}

func in(tx *bolt.Tx, path [][]byte) *bolt.Bucket {
	b, err := tx.CreateBucketIfNotExists(path[0])
	check(err)
	for _, p := range path[1:] {
		b, err = b.CreateBucketIfNotExists(p)
		check(err)
	}
	return b
}

func main() {
	db, err := bolt.Open(os.Args[1], 0600, nil)
	check(err)
	var lines [][]string
	s := bufio.NewScanner(os.Stdin)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		lines = append(lines, strings.Fields(s.Text()))
	}
	for round := 0; round < 3; round++ {
		check(db.Update(func(tx *bolt.Tx) error {
			for i, l := range lines {
				p := parts(l[1:])
				if l[0] == "bucket" {
					in(tx, p)
				} else if b := in(tx, p[:len(p)-2]); round == 1 && i%3 == 0 {
					check(b.Delete(p[len(p)-2]))
				} else {
					check(b.Put(p[len(p)-2], p[len(p)-1]))
				}
			}
			return nil
		}))
	}
	check(db.Close())
}
