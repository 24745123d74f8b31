// Registers and resolves with etcd's official naming package, for tests of a registry that Go and Node.js share.
//
//	etcd-naming register -endpoints 127.0.0.1:2379 -service orders -address 10.0.0.1:8080 -weight 2
//	etcd-naming resolve  -endpoints 127.0.0.1:2379 -service orders
//
// It prints one JSON object a line, and ends when its standard input does; a registration is then taken back.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"io"
	"log"
	"os"
	"sort"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/naming/endpoints"
)

type instance struct {
	Address string `json:"address"`
	Weight  any    `json:"weight,omitempty"`
}

func main() {
	command := os.Args[1]
	flags := flag.NewFlagSet(command, flag.ExitOnError)
	servers := flags.String("endpoints", "127.0.0.1:2379", "etcd's addresses, separated by commas")
	service := flags.String("service", "orders", "the service's name")
	address := flags.String("address", "", "the instance's address")
	weight := flags.Int("weight", 0, "the instance's weight; 0 leaves it out")
	_ = flags.Parse(os.Args[2:])

	client, err := clientv3.New(clientv3.Config{
		Endpoints:   strings.Split(*servers, ","),
		DialTimeout: 5 * time.Second,
	})
	check(err)
	defer client.Close()
	manager, err := endpoints.NewManager(client, *service)
	check(err)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()

	switch command {
	case "register":
		register(ctx, client, manager, *service, *address, *weight)
	case "resolve":
		go resolve(ctx, manager)
		waitForEnd()
	default:
		log.Fatalf("unknown command %q", command)
	}
}

func register(ctx context.Context, client *clientv3.Client, manager endpoints.Manager, service, address string, weight int) {
	lease, err := client.Grant(ctx, 15)
	check(err)
	_, err = client.KeepAlive(ctx, lease.ID)
	check(err)
	endpoint := endpoints.Endpoint{Addr: address}
	if weight > 0 {
		endpoint.Metadata = map[string]any{"weight": weight}
	}
	key := service + "/" + address
	check(manager.AddEndpoint(ctx, key, endpoint, clientv3.WithLease(lease.ID)))
	printLine(map[string]any{"registered": address})
	waitForEnd()
	check(manager.DeleteEndpoint(ctx, key))
	_, err = client.Revoke(ctx, lease.ID)
	check(err)
}

func resolve(ctx context.Context, manager endpoints.Manager) {
	updates, err := manager.NewWatchChannel(ctx)
	check(err)
	known := map[string]instance{}
	for changes := range updates {
		for _, change := range changes {
			if change.Op == endpoints.Delete {
				delete(known, change.Key)
				continue
			}
			entry := instance{Address: change.Endpoint.Addr}
			if metadata, ok := change.Endpoint.Metadata.(map[string]any); ok {
				entry.Weight = metadata["weight"]
			}
			known[change.Key] = entry
		}
		printSet(known)
	}
}

func printSet(known map[string]instance) {
	set := make([]instance, 0, len(known))
	for _, entry := range known {
		set = append(set, entry)
	}
	sort.Slice(set, func(a, b int) bool { return set[a].Address < set[b].Address })
	printLine(map[string]any{"instances": set})
}

func printLine(value any) { check(json.NewEncoder(os.Stdout).Encode(value)) }

func waitForEnd() { _, _ = io.Copy(io.Discard, os.Stdin) }

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
