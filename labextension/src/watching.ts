/** Whether somebody can see a widget: what it shows is kept current only then. */
import { Message, MessageLoop } from '@lumino/messaging';
import type { Widget } from '@lumino/widgets';

/** Calls `seen` each time that the widget comes into sight, and `hidden` each time that it goes out of it. */
export function whileSeen(widget: Widget, seen: () => void, hidden: () => void): void {
  MessageLoop.installMessageHook(widget, (_, message: Message) => {
    switch (message.type) {
      case 'after-attach':
        // Behind others, or in what is hidden, it is shown later. The widget itself does not know of it yet.
        if (!widget.isHidden && (widget.parent?.isVisible ?? true)) {
          seen();
        }
        break;
      case 'after-show':
        seen();
        break;
      case 'before-hide':
      case 'before-detach':
        hidden();
        break;
    }
    return true;
  });
}
