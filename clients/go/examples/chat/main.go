// Command chat says hello in a channel, and hears it: SWITCHBOARD_URL, SWITCHBOARD_TOKEN, SWITCHBOARD_CHANNEL.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/signal"

	"switchboard"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := chat(ctx); err != nil {
		log.Fatal(err)
	}
}

func chat(ctx context.Context) error {
	// In production, GetToken asks your own server, which signs tokens or has the hub issue them.
	client := switchboard.New(os.Getenv("SWITCHBOARD_URL"), switchboard.Options{Token: os.Getenv("SWITCHBOARD_TOKEN")})
	defer client.Close()
	channel, err := client.Subscribe(ctx, os.Getenv("SWITCHBOARD_CHANNEL"), switchboard.Start{})
	if err != nil {
		return err
	}
	for _, text := range []string{"hello", "goodbye"} {
		if _, err := channel.Publish(ctx, map[string]string{"text": text}); err != nil {
			return err
		}
	}
	for event, err := range channel.Events(ctx) {
		if err != nil {
			return err
		}
		switch event := event.(type) {
		case switchboard.Message:
			var said struct{ Text string }
			if err := event.Decode(&said); err != nil {
				return err
			}
			fmt.Printf("%s: %s\n", event.From.User, said.Text)
			if said.Text == "goodbye" {
				return nil
			}
		case switchboard.Gap:
			fmt.Println("something may have been missed: reload")
		}
	}
	return nil
}
