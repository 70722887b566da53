/** Whether there is little room, which no rule of the page's own size tells: a view has what others leave it. */
import React, { useLayoutEffect, useRef, useState } from 'react';

/** Of the element that gets the reference: whether it is narrower than so many pixels. */
export function useNarrow(below: number): [React.RefObject<HTMLElement>, boolean] {
  const room = useRef<HTMLElement>(null);
  const [narrow, setNarrow] = useState(false);
  useLayoutEffect(() => {
    if (room.current === null || typeof ResizeObserver === 'undefined') {
      return;
    }
    const observer = new ResizeObserver(([entry]) => {
      const { width } = entry.contentRect;
      if (width > 0) {
        setNarrow(width < below); // hidden, it has no width, and is to come back as it was
      }
    });
    observer.observe(room.current);
    return () => observer.disconnect();
  }, [below]);
  return [room, narrow];
}
