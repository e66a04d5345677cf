"""The browser's side: HTTP API, pages and the reviewer's canvas. Handlers are thin; app/services decides and stores."""
