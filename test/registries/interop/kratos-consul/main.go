// Registers and resolves with Kratos' Consul registry, for tests of a registry that Go and Node.js share.
//
//	kratos-consul register -consul 127.0.0.1:8500 -service orders -id one -address http://10.0.0.1:8080,grpc://10.0.0.1:9000
//	kratos-consul resolve  -consul 127.0.0.1:8500 -service orders
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

	"github.com/go-kratos/kratos/contrib/registry/consul/v2"
	"github.com/go-kratos/kratos/v2/registry"
	"github.com/hashicorp/consul/api"
)

func main() {
	if len(os.Args) < 2 {
		log.Fatal("usage: kratos-consul register|resolve [flags]")
	}
	command := os.Args[1]
	flags := flag.NewFlagSet(command, flag.ExitOnError)
	agent := flags.String("consul", "127.0.0.1:8500", "the agent's address")
	service := flags.String("service", "orders", "the service's name")
	id := flags.String("id", "one", "the instance's id")
	address := flags.String("address", "", "the instance's endpoints, separated by commas")
	weight := flags.String("weight", "", "the instance's weight, as text; empty leaves it out")
	_ = flags.Parse(os.Args[2:])

	client, err := api.NewClient(&api.Config{Address: *agent})
	check(err)
	// Nobody listens at the addresses of the tests, so that a TCP check would find them dead.
	kratos := consul.New(client, consul.WithHealthCheck(false))
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()

	switch command {
	case "register":
		instance := &registry.ServiceInstance{
			ID:        *id,
			Name:      *service,
			Version:   "v1",
			Endpoints: strings.Split(*address, ","),
		}
		if *weight != "" {
			instance.Metadata = map[string]string{"weight": *weight}
		}
		check(kratos.Register(ctx, instance))
		printLine(map[string]any{"registered": *id})
		waitForEnd()
		check(kratos.Deregister(ctx, instance))
	case "resolve":
		go resolve(ctx, kratos, *service)
		waitForEnd()
	default:
		log.Fatalf("unknown command %q", command)
	}
}

func resolve(ctx context.Context, kratos *consul.Registry, service string) {
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
