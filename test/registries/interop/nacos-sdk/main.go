// Registers and resolves with Nacos' own Go client, for tests of a registry that Go and Node.js share.
//
//	nacos-sdk register -servers 127.0.0.1:8848 -service orders -address 10.0.0.1:8080 -weight 2.5 -zone b
//	nacos-sdk resolve  -servers 127.0.0.1:8848 -service orders
//
// It prints one JSON object a line, and ends when its standard input does; a registration is then taken back.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"sort"
	"strconv"
	"strings"

	"github.com/nacos-group/nacos-sdk-go/v2/clients"
	"github.com/nacos-group/nacos-sdk-go/v2/clients/naming_client"
	"github.com/nacos-group/nacos-sdk-go/v2/common/constant"
	"github.com/nacos-group/nacos-sdk-go/v2/model"
	"github.com/nacos-group/nacos-sdk-go/v2/vo"
)

type instance struct {
	Address  string            `json:"address"`
	Weight   float64           `json:"weight"`
	Metadata map[string]string `json:"metadata"`
}

func main() {
	if len(os.Args) < 2 {
		log.Fatal("usage: nacos-sdk register|resolve [flags]")
	}
	command := os.Args[1]
	flags := flag.NewFlagSet(command, flag.ExitOnError)
	servers := flags.String("servers", "127.0.0.1:8848", "the servers' addresses, separated by commas")
	offset := flags.Uint64("offset", 1000, "how far the port of gRPC is above that of HTTP")
	service := flags.String("service", "orders", "the service's name")
	address := flags.String("address", "", "the instance's address")
	weight := flags.Float64("weight", 1, "the instance's weight")
	zone := flags.String("zone", "", "the instance's zone, kept in its metadata; empty leaves it out")
	_ = flags.Parse(os.Args[2:])

	folder, err := os.MkdirTemp("", "nacos-sdk-")
	check(err)
	defer os.RemoveAll(folder)
	client := connect(strings.Split(*servers, ","), *offset, folder)

	switch command {
	case "register":
		host, port := split(*address)
		metadata := map[string]string{}
		if *zone != "" {
			metadata["zone"] = *zone
		}
		_, err := client.RegisterInstance(vo.RegisterInstanceParam{
			Ip: host, Port: port, Weight: *weight, Enable: true, Healthy: true, Ephemeral: true,
			ServiceName: *service, Metadata: metadata,
		})
		check(err)
		printLine(map[string]any{"registered": *address})
		waitForEnd()
		_, err = client.DeregisterInstance(vo.DeregisterInstanceParam{
			Ip: host, Port: port, Ephemeral: true, ServiceName: *service,
		})
		check(err)
	case "resolve":
		check(client.Subscribe(&vo.SubscribeParam{
			ServiceName: *service,
			SubscribeCallback: func(found []model.Instance, err error) {
				// It has an error for a service without instances.
				if err != nil {
					found = nil
				}
				printSet(found)
			},
		}))
		waitForEnd()
	default:
		log.Fatalf("unknown command %q", command)
	}
	client.CloseClient()
}

func connect(servers []string, offset uint64, folder string) naming_client.INamingClient {
	var places []constant.ServerConfig
	for _, server := range servers {
		host, port := split(server)
		places = append(places, constant.ServerConfig{IpAddr: host, Port: port, GrpcPort: port + offset})
	}
	client, err := clients.NewNamingClient(vo.NacosClientParam{
		ServerConfigs: places,
		ClientConfig: &constant.ClientConfig{
			TimeoutMs: 5_000, NotLoadCacheAtStart: true, LogDir: folder, CacheDir: folder, LogLevel: "error",
		},
	})
	check(err)
	return client
}

func printSet(found []model.Instance) {
	set := []instance{}
	for _, one := range found {
		set = append(set, instance{fmt.Sprintf("%s:%d", one.Ip, one.Port), one.Weight, one.Metadata})
	}
	sort.Slice(set, func(a, b int) bool { return set[a].Address < set[b].Address })
	printLine(map[string]any{"instances": set})
}

func split(address string) (string, uint64) {
	host, text, err := net.SplitHostPort(address)
	check(err)
	port, err := strconv.ParseUint(text, 10, 16)
	check(err)
	return host, port
}

func printLine(value any) { check(json.NewEncoder(os.Stdout).Encode(value)) }

func waitForEnd() { _, _ = io.Copy(io.Discard, os.Stdin) }

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
