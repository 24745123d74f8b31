// Command etcd is etcd's own server, built from the module that the Go module proxy serves.
//
// `go install go.etcd.io/etcd/server/v3@latest` refuses, as that module's go.mod has replace directives; requiring
// it from a module of one's own does not.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() {
	etcdmain.Main(os.Args)
}
