// Registers and resolves with Kratos' registries for etcd and Consul, for tests of one that Go and Node.js share.
//
//	kratos-registry register -endpoints 127.0.0.1:2379 -service orders -id one -address http://10.0.0.1:8080,grpc://10.0.0.1:9000
//	kratos-registry resolve  -consul 127.0.0.1:8500 -service orders
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

	"github.com/go-kratos/kratos/contrib/registry/consul/v2"
	"github.com/go-kratos/kratos/contrib/registry/etcd/v2"
	"github.com/go-kratos/kratos/v2/registry"
	"github.com/hashicorp/consul/api"
	clientv3 "go.etcd.io/etcd/client/v3"
)

type kratosRegistry interface {
	registry.Registrar
	registry.Discovery
}

func main() {
	if len(os.Args) < 2 {
		log.Fatal("usage: kratos-registry register|resolve [flags]")
	}
	command := os.Args[1]
	flags := flag.NewFlagSet(command, flag.ExitOnError)
	servers := flags.String("endpoints", "127.0.0.1:2379", "etcd's addresses, separated by commas")
	agent := flags.String("consul", "", "the address of a Consul agent, to be used in place of etcd")
	service := flags.String("service", "orders", "the service's name")
	id := flags.String("id", "one", "the instance's id")
	address := flags.String("address", "", "the instance's endpoints, separated by commas")
	weight := flags.String("weight", "", "the instance's weight, as text; empty leaves it out")
	_ = flags.Parse(os.Args[2:])

	var kratos kratosRegistry
	if *agent == "" {
		client, err := clientv3.New(clientv3.Config{
			Endpoints:   strings.Split(*servers, ","),
			DialTimeout: 5 * time.Second,
		})
		check(err)
		defer client.Close()
		kratos = etcd.New(client)
	} else {
		client, err := api.NewClient(&api.Config{Address: *agent})
		check(err)
		// Nobody listens at the addresses of the tests, so that a TCP check would find them dead.
		kratos = consul.New(client, consul.WithHealthCheck(false))
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()

	switch command {
	case "register":
		instance := &registry.ServiceInstance{
			ID:        *id,
			Name:      *service,
			Version:   "1",
			Endpoints: strings.Split(*address, ","),
		}
		if *weight != "" {
			instance.Metadata = map[string]string{"weight": *weight}
		}
		check(kratos.Register(ctx, instance))
		printLine(map[string]any{"registered": *address})
		waitForEnd()
		check(kratos.Deregister(ctx, instance))
	case "resolve":
		go resolve(ctx, kratos, *service)
		waitForEnd()
	default:
		log.Fatalf("unknown command %q", command)
	}
}

func resolve(ctx context.Context, kratos registry.Discovery, service string) {
	watcher, err := kratos.Watch(ctx, service)
	check(err)
	for {
		instances, err := watcher.Next()
		check(err)
		sort.Slice(instances, func(a, b int) bool { return instances[a].ID < instances[b].ID })
		printLine(map[string]any{"instances": instances})
	}
}

func printLine(value any) { check(json.NewEncoder(os.Stdout).Encode(value)) }

func waitForEnd() { _, _ = io.Copy(io.Discard, os.Stdin) }

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
