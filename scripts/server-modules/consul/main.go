// Command consul is Consul's own server, built from the module that the Go module proxy serves.
//
// `go install github.com/hashicorp/consul@v1.14.5` refuses, as that module's go.mod has replace directives; requiring it
// from a module of one's own does not. The body is the least of what Consul's own main package does, which cannot be
// imported. From 1.15 on Consul needs modules of its own that the proxy does not have in the wanted versions, and
// from 1.17 on it is not under an open-source licence.
package main

import (
	"fmt"
	"io"
	"log"
	"os"

	"github.com/hashicorp/consul/command"
	"github.com/hashicorp/consul/command/cli"
	mcli "github.com/mitchellh/cli"
)

func main() {
	// What Consul has to say it writes with its own logger.
	log.SetOutput(io.Discard)
	ui := &cli.BasicUI{BasicUi: mcli.BasicUi{Writer: os.Stdout, ErrorWriter: os.Stderr}}
	program := &mcli.CLI{
		Args:        os.Args[1:],
		Commands:    command.RegisteredCommands(ui),
		Name:        "consul",
		HelpWriter:  os.Stdout,
		ErrorWriter: os.Stderr,
	}
	exitCode, err := program.Run()
	if err != nil {
		fmt.Fprintln(os.Stderr, "consul:", err)
		exitCode = 1
	}
	os.Exit(exitCode)
}
