A deployment waits for the host two or three times less, no small packet waits for the acknowledgement of another
one, and the script ends at once after its last line.
What is small is sent together with what is made of it.
