// Command inbox works off a durable channel, where what is not acknowledged comes again: SWITCHBOARD_URL, SWITCHBOARD_TOKEN, SWITCHBOARD_CHANNEL.
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"switchboard"
)

func main() {
	if err := work(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func work(ctx context.Context) error {
	client := switchboard.New(os.Getenv("SWITCHBOARD_URL"), switchboard.Options{Token: os.Getenv("SWITCHBOARD_TOKEN")})
	defer client.Close()
	inbox, err := client.Subscribe(ctx, os.Getenv("SWITCHBOARD_CHANNEL"), switchboard.Start{})
	if err != nil {
		return err
	}
	for n := range 3 {
		if _, err := inbox.Publish(ctx, map[string]int{"task": n}); err != nil {
			return err
		}
	}
	for event, err := range inbox.Events(ctx) {
		if err != nil {
			return err
		}
		switch event := event.(type) {
		case switchboard.Message:
			var asked struct{ Task int }
			if err := event.Decode(&asked); err != nil {
				return err
			}
			fmt.Printf("handled %d\n", asked.Task)
			if err := inbox.Ack(ctx, event.Offset); err != nil {
				return err
			}
			if asked.Task == 2 {
				return nil
			}
		case switchboard.Gap:
			fmt.Println("history did not reach back to what was acknowledged last: reload")
			if err := inbox.Ack(ctx, event.Position.Offset); err != nil {
				return err
			}
		}
	}
	return nil
}
