package e2e

import (
	"flag"
	"fmt"
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	flag.Parse()
	if os.Getenv("STOCKPIPE_E2E") != "1" {
		fmt.Println("SKIPPED the stories on Kubernetes: set STOCKPIPE_E2E=1, or run make e2e")
		if os.Getenv("STOCKPIPE_ALL_TIERS") == "1" {
			fmt.Println("STOCKPIPE_ALL_TIERS=1 asks for them: failing")
			os.Exit(1)
		}
		return
	}
	code := m.Run()
	if err := takeDown(code != 0); err != nil {
		fmt.Println(err)
		code = 1
	}
	os.Exit(code)
}
