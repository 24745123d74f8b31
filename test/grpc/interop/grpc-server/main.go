// The interop test server of grpc-go with the health service and load reports, for tests of calls between Node.js and Go.
//
//	grpc-server -port 0 -cpu 0.3 -inflight 5
//
// It prints {"port": N} when it listens. Lines on its standard input steer it: "SERVING" and "NOT_SERVING" set its health,
// "GOAWAY" stops it gracefully. It ends when its standard input does.
package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"log"
	"net"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/interop"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/orca"
)

func main() {
	port := flag.Int("port", 0, "the port; 0 for one that is free")
	cpu := flag.Float64("cpu", 0.5, "the processor utilization that it reports")
	inflight := flag.Float64("inflight", 0, "the calls in flight that it reports")
	flag.Parse()

	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", *port))
	if err != nil {
		log.Fatal(err)
	}
	report := func(ctx context.Context, request any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		if recorder := orca.CallMetricsRecorderFromContext(ctx); recorder != nil {
			recorder.SetCPUUtilization(*cpu)
			recorder.SetNamedMetric("inflight", *inflight)
			recorder.SetQPS(100)
		}
		return handler(ctx, request)
	}
	server := grpc.NewServer(orca.CallMetricsServerOption(nil), grpc.ChainUnaryInterceptor(report))
	testpb.RegisterTestServiceServer(server, interop.NewTestServer())
	status := health.NewServer()
	healthpb.RegisterHealthServer(server, status)

	go func() {
		for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
			switch line := lines.Text(); line {
			case "SERVING":
				status.SetServingStatus("", healthpb.HealthCheckResponse_SERVING)
			case "NOT_SERVING":
				status.SetServingStatus("", healthpb.HealthCheckResponse_NOT_SERVING)
			case "GOAWAY":
				go server.GracefulStop()
			default:
				log.Fatalf("unknown line %q", line)
			}
		}
		os.Exit(0)
	}()
	fmt.Printf("{\"port\": %d}\n", listener.Addr().(*net.TCPAddr).Port)
	if err := server.Serve(listener); err != nil {
		log.Fatal(err)
	}
	// Stopped by a GOAWAY; the end of the input is still to come.
	select {}
}
