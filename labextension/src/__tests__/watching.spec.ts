import { Panel, Widget } from '@lumino/widgets';

import { whileSeen } from '../watching';

it('tells when a widget comes into sight and goes out of it, also with what it is in', () => {
  const told: string[] = [];
  const widget = new Widget();
  const around = new Panel();
  whileSeen(
    widget,
    () => told.push('seen'),
    () => told.push('hidden')
  );
  widget.hide();
  around.addWidget(widget);
  Widget.attach(around, document.body);
  expect(told).toEqual([]);
  widget.show();
  around.hide();
  around.show();
  Widget.detach(around);
  Widget.attach(around, document.body);
  widget.dispose();
  expect(told).toEqual(['seen', 'hidden', 'seen', 'hidden', 'seen', 'hidden']);
  around.dispose();
});
