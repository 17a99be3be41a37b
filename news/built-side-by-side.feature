Develop packages that changed are built side by side.
