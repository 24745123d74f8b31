// Registers and resolves with Kitex' etcd registry, for tests of a registry that Go and Node.js share.
//
//	kitex-registry register -endpoints 127.0.0.1:2379 -service orders -address 10.0.0.1:8888 -weight 20
//	kitex-registry resolve  -endpoints 127.0.0.1:2379 -service orders
//
// It prints one JSON object a line, and ends when its standard input does; a registration is then taken back.
// Kitex' resolver has no watch: as in Kitex itself, it is asked again and again.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"io"
	"log"
	"net"
	"os"
	"sort"
	"strings"
	"time"

	"github.com/cloudwego/kitex/pkg/discovery"
	"github.com/cloudwego/kitex/pkg/registry"
	"github.com/cloudwego/kitex/pkg/rpcinfo"
	etcd "github.com/kitex-contrib/registry-etcd"
)

type instance struct {
	Address string `json:"address"`
	Weight  int    `json:"weight"`
}

func main() {
	command := os.Args[1]
	flags := flag.NewFlagSet(command, flag.ExitOnError)
	servers := flags.String("endpoints", "127.0.0.1:2379", "etcd's addresses, separated by commas")
	service := flags.String("service", "orders", "the service's name")
	address := flags.String("address", "", "the instance's address")
	weight := flags.Int("weight", 10, "the instance's weight")
	_ = flags.Parse(os.Args[2:])
	endpoints := strings.Split(*servers, ",")

	switch command {
	case "register":
		register(endpoints, *service, *address, *weight)
	case "resolve":
		resolver, err := etcd.NewEtcdResolver(endpoints)
		check(err)
		go resolve(resolver, *service)
		waitForEnd()
	default:
		log.Fatalf("unknown command %q", command)
	}
}

func register(endpoints []string, service, address string, weight int) {
	kitex, err := etcd.NewEtcdRegistry(endpoints)
	check(err)
	where, err := net.ResolveTCPAddr("tcp", address)
	check(err)
	info := &registry.Info{ServiceName: service, Addr: where, Weight: weight}
	check(kitex.Register(info))
	printLine(map[string]any{"registered": address})
	waitForEnd()
	check(kitex.Deregister(info))
}

func resolve(resolver discovery.Resolver, service string) {
	ctx := context.Background()
	target := resolver.Target(ctx, rpcinfo.NewEndpointInfo(service, "", nil, nil))
	before := ""
	for ; ; time.Sleep(50 * time.Millisecond) {
		result, err := resolver.Resolve(ctx, target)
		set := []instance{}
		// It has an error for a service without instances.
		if err == nil {
			for _, found := range result.Instances {
				set = append(set, instance{Address: found.Address().String(), Weight: found.Weight()})
			}
		}
		sort.Slice(set, func(a, b int) bool { return set[a].Address < set[b].Address })
		line, err := json.Marshal(map[string]any{"instances": set})
		check(err)
		if string(line) != before {
			before = string(line)
			_, _ = os.Stdout.Write(append(line, '\n'))
		}
	}
}

func printLine(value any) { check(json.NewEncoder(os.Stdout).Encode(value)) }

func waitForEnd() { _, _ = io.Copy(io.Discard, os.Stdin) }

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
